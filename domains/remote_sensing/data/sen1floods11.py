"""Sen1Floods11 (Bonafilia et al. 2020): 446 hand-labelled flood chips of 512 x 512 pixels in eleven countries.

CC-BY-4.0, github.com/cloudtostreet/Sen1Floods11, bucket gs://sen1floods11:
    root/v1.1/data/flood_events/HandLabeled/S1Hand/{Event}_{id}_S1Hand.tif      float32 VV, VH in dB, nan = no data
    root/v1.1/data/flood_events/HandLabeled/S2Hand/{Event}_{id}_S2Hand.tif      L1C, 13 bands, 10,000 = reflectance 1
    root/v1.1/data/flood_events/HandLabeled/LabelHand/{Event}_{id}_LabelHand.tif   int16, -1 no data, 0 land, 1 water
    root/v1.1/data/flood_events/HandLabeled/JRCWaterHand/..._JRCWaterHand.tif   permanent water, 0 or 1
    root/v1.1/splits/flood_handlabeled/flood_{train,valid,test,bolivia}_data.csv   S1 name, label name; no header
EPSG:4326. The root may also be the folder v1.1. Metric of the literature: IoU of water, and its mean with that of land.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from core.data.layout import Layout, Record, Source, require
from core.errors import DataError
from domains.remote_sensing.data.source import LabelSource, RasterSource
from domains.remote_sensing.data.tables import read_lines
from domains.remote_sensing.sensors import PRESETS

LISTS = {"train": "train", "val": "valid", "test": "test"}


class Sen1Floods11(Layout):
    """Modalities "s1" and "s2", masks "flood" (0 land, 1 water) and "permanent" (0, 1). The group is the chip.

    held_out: what `test` is: "test", chips of the same events as training, or "bolivia", an event that is nowhere else.
    """

    name: ClassVar[str] = "Sen1Floods11"
    licence: ClassVar[str] = "CC-BY-4.0"
    source: ClassVar[str] = "github.com/cloudtostreet/Sen1Floods11"

    def __init__(self, *, root: Path, split: str, held_out: Literal["test", "bolivia"] = "test") -> None:
        super().__init__(root=root, split=split)
        base = self.root / "v1.1" if (self.root / "v1.1").is_dir() else self.root
        self._data = base / "data" / "flood_events" / "HandLabeled"
        listed = held_out if self.split == "test" else LISTS[self.split]
        path = base / "splits" / "flood_handlabeled" / f"flood_{listed}_data.csv"
        wanted = {"radar": self._data / "S1Hand", "labels": self._data / "LabelHand", "list of the split": path}
        require(self.root, wanted, owner=self.name, source=self.source)
        self._chips = []
        for line in read_lines(path, what="names of an S1 file and its label file, with a comma between"):
            first = line.split(",")[0].strip()
            if not first.endswith(".tif"):  # a header
                continue
            if not first.endswith("_S1Hand.tif"):
                raise DataError(f"{path}: '{first}' is no S1 file such as Ghana_1078550_S1Hand.tif")
            self._chips.append(first.removesuffix("_S1Hand.tif"))
        if not self._chips:
            raise DataError(f"{path}: names no chip; expected lines such as Ghana_1_S1Hand.tif,Ghana_1_LabelHand.tif")

    def __len__(self) -> int:
        return len(self._chips)

    def record(self, index: int) -> Record:
        chip = self._chips[index]
        sources: dict[str, Source] = {"s1": RasterSource(self._path(chip, "S1Hand"), PRESETS["sentinel1_db"])}
        if (self._data / "S2Hand").is_dir():
            sources["s2"] = RasterSource(self._path(chip, "S2Hand"), PRESETS["sentinel2_l1c"])
        masks: dict[str, Source] = {"flood": LabelSource(self._path(chip, "LabelHand"), unknown=(-1,), classes=2)}
        if (self._data / "JRCWaterHand").is_dir():
            masks["permanent"] = LabelSource(self._path(chip, "JRCWaterHand"), unknown=(-1, 255), classes=2)
        return Record(chip, chip, sources, masks=masks)

    def _path(self, chip: str, kind: str) -> Path:
        return self._data / kind / f"{chip}_{kind}.tif"
