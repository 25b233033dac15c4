"""SEN12MS (Schmitt et al. 2019) and DFC2020 (Robinson et al. 2021): Sentinel-1, Sentinel-2, land cover, 256 pixels.

SEN12MS: CC-BY-4.0, mediatum.ub.tum.de/1474000, 180,662 triplets with weak MODIS labels:
    root/ROIs1158_spring/{s1,s2,lc}_{scene}/ROIs1158_spring_{s1,s2,lc}_{scene}_p{k}.tif   and three further seasons
    root/train_list.txt, root/test_list.txt    names of the s2 files of the official split
DFC2020: CC-BY-4.0, ieee-dataport.org, 6,114 triplets with hand-made labels:
    root/**/ROIs0000_{validation,test}_{s1,s2,dfc}_0_p{i}.tif    in whatever folders
s1: float32 VV, VH in dB. s2: uint16 L1C, 13 bands, 10,000 = reflectance 1. lc: 4 bands, the first is IGBP, 1 to 17.
dfc: first band, simplified IGBP, 1 to 10 (3 and 8 are not used).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, Source, refuse_empty
from core.data.tables import hash_share
from core.errors import DataError
from domains.remote_sensing.data.source import LabelSource, RasterSource
from domains.remote_sensing.data.tables import read_lines
from domains.remote_sensing.sensors import PRESETS

SEASONS = ("ROIs1158_spring", "ROIs1868_summer", "ROIs1970_fall", "ROIs2017_winter")
HOLDOUT = 0.1  # share of the official training scenes that becomes `val`
IGBP = tuple((value, value - 1) for value in range(1, 18))
# forest, shrubland, savanna, grassland, wetland, cropland, urban, snow, barren, water -> Dynamic World
DFC_TO_DYNAMIC_WORLD = ((1, 1), (2, 5), (4, 2), (5, 3), (6, 4), (7, 6), (9, 7), (10, 0))
DFC_CLASSES = tuple((value, value - 1) for value in range(1, 11))
_SEN12MS = re.compile(r"(?P<season>ROIs\d{4}_\w+?)_s2_(?P<scene>\d+)_p(?P<patch>\d+)\.tif")
_DFC = re.compile(r"ROIs0000_(?P<folder>validation|test)_s2_0_p(?P<patch>\d+)\.tif")


class SEN12MS(Layout):
    """Modalities "s1" and "s2", mask "igbp" (17 classes, weak). The group is the scene.

    `val` is a tenth of the official training scenes, by the hash of their name.
    """

    name: ClassVar[str] = "SEN12MS"
    licence: ClassVar[str] = "CC-BY-4.0"
    source: ClassVar[str] = "mediatum.ub.tum.de/1474000"

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        path = self.root / ("test_list.txt" if self.split == "test" else "train_list.txt")
        listed = read_lines(path, what="names of s2 files, as the authors publish them")
        self._names = []
        for name in listed:
            match = _SEN12MS.fullmatch(name)
            if match is None:
                raise DataError(f"{path}: '{name}' is no s2 file such as ROIs1158_spring_s2_1_p30.tif")
            group = f"{match['season']}_{match['scene']}"
            if self.split == "test" or (hash_share(group, salt=self.name) < HOLDOUT) == (self.split == "val"):
                self._names.append((match["season"], match["scene"], match["patch"]))
        there = [name for name in self._names if self._path("s2", *name).exists()]
        self.absent = len(self._names) - len(there)
        self._names = there
        refuse_empty(
            len(there), owner=f"'{split}' split of {self.name}", where=self.root,
            expected="files such as ROIs1158_spring/s2_1/ROIs1158_spring_s2_1_p30.tif that the list names",
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._names)

    def record(self, index: int) -> Record:
        season, scene, patch = self._names[index]
        sources: dict[str, Source] = {
            "s1": RasterSource(self._path("s1", season, scene, patch), PRESETS["sentinel1_db"]),
            "s2": RasterSource(self._path("s2", season, scene, patch), PRESETS["sentinel2_l1c"]),
        }
        masks: dict[str, Source] = {"igbp": LabelSource(self._path("lc", season, scene, patch), mapping=IGBP)}
        return Record(f"{season}_{scene}_p{patch}", f"{season}_{scene}", sources, masks=masks)

    def _path(self, kind: str, season: str, scene: str, patch: str) -> Path:
        return self.root / season / f"{kind}_{scene}" / f"{season}_{kind}_{scene}_p{patch}.tif"


class DFC2020(Layout):
    """Modalities "s1" and "s2", masks "dfc" (10 classes, 2 of them unused) and "dw" (the same as Dynamic World's).

    The contest had no training labels. Here the 5,128 patches of its test part are `train` (90%) and `val` (10%, by the
    hash of the patch), and the 986 of its validation part are `test`. Files dfc-{train,val,test}-new.csv in the root,
    as Copernicus-Bench distributes them, take precedence.
    """

    name: ClassVar[str] = "DFC2020"
    licence: ClassVar[str] = "CC-BY-4.0"
    source: ClassVar[str] = "ieee-dataport.org, 2020 IEEE GRSS Data Fusion Contest"

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        found = sorted(self.root.rglob("ROIs0000_*_s2_0_p*.tif"))
        refuse_empty(
            len(found), owner=self.name, where=self.root,
            expected="files such as ROIs0000_test_s2_0_p12.tif in any folder below it",
        )  # fmt: skip
        listed = self.root / f"dfc-{self.split}-new.csv"
        if listed.exists():
            names = {
                Path(line.split(",")[0]).name.replace("_dfc_", "_s2_") for line in read_lines(listed, what="files")
            }
            self._paths = [path for path in found if path.name in names]
        else:
            self._paths = [path for path in found if self._split_of(path) == self.split]
        refuse_empty(
            len(self._paths), owner=f"'{split}' split of {self.name}", where=self.root,
            expected="patches of the contest's test part (train, val) and validation part (test)",
        )  # fmt: skip
        self._others = {path.name: path for path in self.root.rglob("ROIs0000_*.tif")}

    def __len__(self) -> int:
        return len(self._paths)

    def record(self, index: int) -> Record:
        optical = self._paths[index]
        sources: dict[str, Source] = {"s2": RasterSource(optical, PRESETS["sentinel2_l1c"])}
        masks: dict[str, Source] = {}
        radar, label = (self._others.get(optical.name.replace("_s2_", f"_{kind}_")) for kind in ("s1", "dfc"))
        if radar is not None:
            sources["s1"] = RasterSource(radar, PRESETS["sentinel1_db"])
        if label is not None:
            masks["dfc"] = LabelSource(label, mapping=DFC_CLASSES)
            masks["dw"] = LabelSource(label, mapping=DFC_TO_DYNAMIC_WORLD)
        return Record(optical.stem.replace("_s2_", "_"), optical.stem.replace("_s2_", "_"), sources, masks=masks)

    def _split_of(self, path: Path) -> str:
        match = _DFC.fullmatch(path.name)
        if match is None:
            return ""
        if match["folder"] == "validation":
            return "test"
        return "val" if hash_share(match["patch"], salt=self.name) < HOLDOUT else "train"
