"""CrisisLandMark (2025, the data set of CLOSP): 647,000 Sentinel-1 or Sentinel-2 patches, land cover, disasters.

CC-BY-NC-4.0, Hugging Face DarthReca/crisislandmark:
    root/crisislandmark.h5   links to benv2s2_part{1-4}.h5, benv2s1_part{1-4}.h5, cabuar.h5, sen12flood.h5, mmflood.h5,
                             quakeset.h5 beside it; a group per key with data sets `image`, `coords`
    root/metadata.parquet    key, labels (list), split (train, test)
image: (2, H, W) Sentinel-1 VV, VH in dB, or (12, H, W) Sentinel-2 without B10, 10,000 = reflectance 1. The sensors are
not paired: they meet in the text, the labels joined by ". " (here in the order of the classes; the release's is
random).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, Source, refuse_empty, require
from core.data.tables import hash_share
from core.errors import DataError, nearest
from domains.remote_sensing.data.source import ArraySource
from domains.remote_sensing.data.tables import read_parquet
from domains.remote_sensing.processors.captions import caption_source
from domains.remote_sensing.sensors import PRESETS

CLASSES = (
    "water", "trees", "grass", "flooded vegetation", "crops", "shrub and scrub", "built", "bare", "snow and ice",
    "flooded area", "earthquake damage", "burned area",
)  # fmt: skip
RADAR_KEYS, OPTICAL_KEYS = ("benv2s1", "mmflood", "sen1flood", "quakeset"), ("benv2s2", "cabuar", "sen2flood")
HOLDOUT = 0.05  # share of the training keys that becomes `val`
# CORINE Land Cover names, in lower case -> class
_CORINE_OF_CLASS = {
    "built": (
        "continuous urban fabric", "discontinuous urban fabric", "urban fabric", "industrial or commercial units",
        "road and rail networks and associated land", "port areas", "airports",
    ),
    "bare": (
        "mineral extraction sites", "dump sites", "construction sites", "beaches, dunes, sands", "bare rock",
        "sparsely vegetated areas", "salines", "intertidal flats",
    ),
    "grass": (
        "green urban areas", "sport and leisure facilities", "pastures", "natural grassland",
        "natural grassland and sparsely vegetated areas",
    ),
    "crops": (
        "arable land", "non-irrigated arable land", "permanently irrigated land", "permanent crops", "vineyards",
        "fruit trees and berry plantations", "olive groves", "annual crops associated with permanent crops",
        "complex cultivation patterns",
        "land principally occupied by agriculture, with significant areas of natural vegetation",
    ),
    "flooded vegetation": (
        "rice fields", "inland marshes", "peatbogs", "peat bogs", "salt marshes", "inland wetlands", "coastal wetlands",
    ),
    "trees": ("agro-forestry areas", "broad-leaved forest", "coniferous forest", "mixed forest"),
    "shrub and scrub": (
        "moors and heathland", "sclerophyllous vegetation", "transitional woodland/shrub",
        "moors, heathland and sclerophyllous vegetation", "transitional woodland, shrub",
    ),
    "burned area": ("burnt areas",),
    "snow and ice": ("glaciers and perpetual snow",),
    "water": (
        "water courses", "water bodies", "coastal lagoons", "estuaries", "sea and ocean", "inland waters",
        "marine waters",
    ),
}  # fmt: skip
CORINE = {name: kind for kind, names in _CORINE_OF_CLASS.items() for name in names}


class CrisisLandMark(Layout):
    """Modality "s1" or "s2", never both, and "text"; 12 labels. `val` is 5% of the training keys, by their hash.

    Labels may be the 12 classes, or CORINE names that are mapped onto them.
    """

    name: ClassVar[str] = "CrisisLandMark"
    licence: ClassVar[str] = "CC-BY-NC-4.0"
    source: ClassVar[str] = "Hugging Face data set DarthReca/crisislandmark"
    label_names = CLASSES

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        self._file, table_path = self.root / "crisislandmark.h5", self.root / "metadata.parquet"
        require(self.root, {"images": self._file, "table": table_path}, owner=self.name, source=self.source)
        table = read_parquet(table_path, ["key", "labels", "split"])
        rows = table[table["split"] == ("test" if self.split == "test" else "train")]
        keys = rows["key"].astype(str)
        if self.split != "test":
            held = keys.map(lambda key: hash_share(key, salt=self.name) < HOLDOUT)
            rows = rows[held if self.split == "val" else ~held]
        refuse_empty(
            len(rows), owner=f"'{split}' split of {self.name}", where=table_path, expected="rows of that split"
        )
        self._keys = rows["key"].astype(str).tolist()
        self._labels = [list(names) for names in rows["labels"]]
        self._table = table_path

    def __len__(self) -> int:
        return len(self._keys)

    def record(self, index: int) -> Record:
        key = self._keys[index]
        there = {self._class(str(name), key) for name in self._labels[index]}
        sources: dict[str, Source] = {}
        if any(part in key for part in RADAR_KEYS):
            sources["s1"] = ArraySource(self._file, f"{key}/image", PRESETS["sentinel1_db"])
        elif any(part in key for part in OPTICAL_KEYS):
            sources["s2"] = ArraySource(self._file, f"{key}/image", PRESETS["sentinel2_l2a"])
        else:
            parts = ", ".join((*RADAR_KEYS, *OPTICAL_KEYS))
            raise DataError(f"{self._table}: key '{key}' names no sensor; expected one of {parts} in it")
        named = [name for name in CLASSES if name in there]
        if named:
            sources["text"] = caption_source({"en": [". ".join(named)]})
        return Record(key, key, sources, {name: float(name in there) for name in CLASSES})

    def _class(self, name: str, key: str) -> str:
        lower = " ".join(name.lower().replace("_", " ").split())
        if lower in CLASSES:
            return lower
        if lower not in CORINE:
            raise DataError(
                f"{self._table}: key '{key}': label '{name}' is not known{nearest(lower, [*CLASSES, *CORINE])}"
            )
        return CORINE[lower]
