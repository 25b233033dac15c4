"""BigEarthNet v2, reBEN (Clasen et al. 2024): 549,488 pairs of Sentinel-1 and -2 patches over ten countries.

CDLA-Permissive-1.0, bigearth.net. 1.2 x 1.2 km patches:
    root/BigEarthNet-S2/{tile}/{patch_id}/{patch_id}_B02.tif   uint16 L2A, 10,000 = reflectance 1; 120, 60 or 20 pixels
    root/BigEarthNet-S1/{scene}/{s1_name}/{s1_name}_VV.tif     float32 dB, 120 pixels
    root/Reference_Maps/{tile}/{patch_id}/{patch_id}_reference_map.tif   uint16 CORINE 2018 codes
    root/metadata.parquet   patch_id, labels (list), split (train, validation, test), country, s1_name
Metrics of the literature are macro and micro mAP and F1 over 19 classes. Version 1 differs: never mix their numbers.

Why not torchgeo's class (0.8.1): it reads dB through an integer type, gives VH before VV because it sorts names, and
leaves unmapped CORINE codes in the maps.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, Source, refuse_empty, require
from domains.remote_sensing.data.source import LabelSource, RasterSource
from domains.remote_sensing.data.ssl4eo import day_of
from domains.remote_sensing.data.tables import present, read_parquet
from domains.remote_sensing.sensors import PRESETS

CLASSES = (
    "Urban fabric", "Industrial or commercial units", "Arable land", "Permanent crops", "Pastures",
    "Complex cultivation patterns",
    "Land principally occupied by agriculture, with significant areas of natural vegetation", "Agro-forestry areas",
    "Broad-leaved forest", "Coniferous forest", "Mixed forest", "Natural grassland and sparsely vegetated areas",
    "Moors, heathland and sclerophyllous vegetation", "Transitional woodland, shrub", "Beaches, dunes, sands",
    "Inland wetlands", "Coastal wetlands", "Inland waters", "Marine waters",
)  # fmt: skip
CORINE_OF_CLASS = (
    (111, 112), (121,), (211, 212, 213), (221, 222, 223, 241), (231,), (242,), (243,), (244,), (311,), (312,), (313,),
    (321, 333), (322, 323), (324,), (331,), (411, 412), (421, 422), (511, 512), (521, 522, 523),
)  # fmt: skip
MAPPING = tuple((code, i) for i, codes in enumerate(CORINE_OF_CLASS) for code in codes)
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}


class BigEarthNetV2(Layout):
    """Modalities "s1" and "s2", 19 labels, mask "corine" (19 classes; codes that belong to none are unknown)."""

    name: ClassVar[str] = "BigEarthNet v2"
    licence: ClassVar[str] = "CDLA-Permissive-1.0"
    source: ClassVar[str] = "bigearth.net"
    label_names = CLASSES

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        wanted = {"table": self.root / "metadata.parquet", "optical": self.root / "BigEarthNet-S2"}
        require(self.root, wanted, owner=self.name, source=self.source)
        table = read_parquet(self.root / "metadata.parquet", ["patch_id", "labels", "split", "s1_name"])
        rows = table[table["split"] == SPLIT_NAMES[self.split]]
        refuse_empty(
            len(rows), owner=f"'{split}' split of {self.name}", where=self.root / "metadata.parquet",
            expected=f"rows with split '{SPLIT_NAMES[self.split]}'",
        )  # fmt: skip
        self._patches, self._radar = rows["patch_id"].astype(str).tolist(), rows["s1_name"].astype(str).tolist()
        self._labels = [list(names) for names in rows["labels"]]
        self._has_radar = (self.root / "BigEarthNet-S1").is_dir()
        self._has_maps = (self.root / "Reference_Maps").is_dir()

    def __len__(self) -> int:
        return len(self._patches)

    def record(self, index: int) -> Record:
        patch, radar = self._patches[index], self._radar[index]
        tile = patch.rsplit("_", 2)[0]
        optical = PRESETS["sentinel2_l2a"]
        sources: dict[str, Source] = {
            "s2": RasterSource(
                self.root / "BigEarthNet-S2" / tile / patch, optical, tuple(f"{patch}_{b}.tif" for b in optical.names),
                day_of(patch),
            )
        }  # fmt: skip
        if self._has_radar:
            spec = PRESETS["sentinel1_db"]
            folder = self.root / "BigEarthNet-S1" / radar.rsplit("_", 3)[0] / radar
            sources["s1"] = RasterSource(folder, spec, tuple(f"{radar}_{b}.tif" for b in spec.names), day_of(radar))
        masks: dict[str, Source] = {}
        if self._has_maps:
            path = self.root / "Reference_Maps" / tile / patch / f"{patch}_reference_map.tif"
            masks["corine"] = LabelSource(path, mapping=MAPPING)
        labels = present(CLASSES, self._labels[index], where=f"{self.root / 'metadata.parquet'}: {patch}")
        return Record(patch, patch, sources, labels, masks)
