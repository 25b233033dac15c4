"""EuroSAT (Helber et al. 2019), all bands, and EuroSAT-SAR (Wang et al. 2023): 27,000 chips of 64 pixels, 10 classes.

EuroSAT: MIT, github.com/phelber/EuroSAT:
    root/ds/images/remote_sensing/otherDatasets/sentinel_2/tif/{Class}/{Class}_{n}.tif   uint16 L1C, 13 bands
    root/eurosat-{train,val,test}.txt, root/eurosat-spatial-{train,val,test}.txt    names of chips (with .jpg)
Bands are in the order B01 ... B08, B09, B10, B11, B12, B8A: B8A comes last, so models need the bands by name.
EuroSAT-SAR: CC-BY-4.0, Hugging Face wangyi111/EuroSAT-SAR: root/all_imgs/{Class}/{Class}_{n}.tif, VV and VH in dB.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from core.data.layout import Layout, Record, Source, refuse_empty
from core.data.tables import hash_split
from core.errors import DataError
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.data.tables import present, read_lines
from domains.remote_sensing.sensors import PRESETS

CLASSES = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential",
    "River", "SeaLake",
)  # fmt: skip
NESTED = Path("ds", "images", "remote_sensing", "otherDatasets", "sentinel_2", "tif")
OPTICAL_FOLDERS = (NESTED, Path("tif"), Path("EuroSAT_MS"), Path("EuroSATallBands"))
RADAR_FOLDERS = (Path("all_imgs"), Path("EuroSAT-SAR", "all_imgs"), Path("EuroSAT-SAR"))
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


class EuroSAT(Layout):
    """Modalities "s2", "s1" or both, whichever is below the root, paired by name; one of 10 labels is 1.

    splits: "official" (Neumann et al. 2020), "spatial" (by longitude) or "hash" (60 / 20 / 20 by name; for copies
    without the lists; neighbours leak between its splits, as they do in the official one).
    """

    name: ClassVar[str] = "EuroSAT"
    licence: ClassVar[str] = "MIT (EuroSAT), CC-BY-4.0 (EuroSAT-SAR)"
    source: ClassVar[str] = "github.com/phelber/EuroSAT and Hugging Face wangyi111/EuroSAT-SAR"
    label_names = CLASSES

    def __init__(self, *, root: Path, split: str, splits: Literal["official", "spatial", "hash"] = "official") -> None:
        super().__init__(root=root, split=split)
        self._optical = _first(self.root, OPTICAL_FOLDERS)
        self._radar = _first(self.root, RADAR_FOLDERS)
        if self._optical is None and self._radar is None:
            raise DataError(
                f"{self.root}: neither EuroSAT ({NESTED}/Forest/...) nor EuroSAT-SAR (all_imgs/Forest/...) is below "
                f"it; unpack them there ({self.source})"
            )
        self._chips = self._listed(splits)
        there = [chip for chip in self._chips if self._sources(chip)]
        self.absent = len(self._chips) - len(there)
        self._chips = there
        refuse_empty(
            len(there), owner=f"'{split}' split of {self.name}", where=self._optical or self._radar or self.root,
            expected="chips such as Forest/Forest_1.tif that the split lists",
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._chips)

    def record(self, index: int) -> Record:
        chip = self._chips[index]
        return Record(chip, chip, self._sources(chip), present(CLASSES, [_class(chip)], where=str(self.root)))

    def _sources(self, chip: str) -> dict[str, Source]:
        found: dict[str, Source] = {}
        for modality, folder, spec in (
            ("s2", self._optical, PRESETS["eurosat_l1c"]), ("s1", self._radar, PRESETS["sentinel1_db"])
        ):  # fmt: skip
            if folder is not None and (path := folder / _class(chip) / f"{chip}.tif").exists():
                found[modality] = RasterSource(path, spec)
        return found

    def _listed(self, splits: str) -> list[str]:
        if splits == "hash":
            folder = self._optical or self._radar
            assert folder is not None
            names = sorted(path.stem for path in folder.glob("*/*.tif"))
            return [name for name in names if hash_split(name, SHARES, salt=self.name) == self.split]
        path = self.root / f"eurosat-{'spatial-' if splits == 'spatial' else ''}{self.split}.txt"
        if not path.exists():
            raise DataError(
                f"{path}: the list of the {splits} split is not there; copy it into the root, or splits: hash"
            )
        return [Path(line).stem for line in read_lines(path, what="names of chips such as Forest_1.jpg")]


def _class(chip: str) -> str:
    return chip.rpartition("_")[0]


def _first(root: Path, folders: tuple[Path, ...]) -> Path | None:
    """The first folder that holds a class folder."""
    for folder in folders:
        if any((root / folder / name).is_dir() for name in CLASSES):
            return root / folder
    return None
