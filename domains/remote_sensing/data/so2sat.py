"""So2Sat LCZ42 (Zhu et al. 2020): local climate zones of 42 cities, 32 x 32 pixels, Sentinel-1 and -2.

CC-BY-4.0, mediatum.ub.tum.de/1613658 (version 2; others split differently, and scores differ by tens of points):
    root/training.h5, root/validation.h5, root/testing.h5    data sets
      sen1 (N, 32, 32, 8)   VH real, VH imaginary, VV real, VV imaginary, Lee-filtered intensity of VH and of VV (linear
                            power, not dB), real and imaginary part of the covariance
      sen2 (N, 32, 32, 10)  B2, B3, B4, B5, B6, B7, B8, B8A, B11, B12, reflectance
      label (N, 17)         one-hot
No georeference. Metrics of the literature: overall and average accuracy, kappa.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from core.data.layout import Layout, Record, Source, require
from core.errors import DataError
from domains.remote_sensing.data.source import ArraySource
from domains.remote_sensing.io.hdf5 import read_values
from domains.remote_sensing.sensors import PRESETS

FILES = {"train": "training.h5", "val": "validation.h5", "test": "testing.h5"}
CLASSES = (
    "Compact high-rise", "Compact mid-rise", "Compact low-rise", "Open high-rise", "Open mid-rise", "Open low-rise",
    "Lightweight low-rise", "Large low-rise", "Sparsely built", "Heavy industry", "Dense trees", "Scattered trees",
    "Bush, scrub", "Low plants", "Bare rock or paved", "Bare soil or sand", "Water",
)  # fmt: skip
LEE_VV, LEE_VH = 5, 4  # channels of sen1


class So2Sat(Layout):
    """Modalities "s1" (Lee-filtered intensity, VV and VH, in power) and "s2"; one of 17 labels is 1."""

    name: ClassVar[str] = "So2Sat LCZ42"
    licence: ClassVar[str] = "CC-BY-4.0"
    source: ClassVar[str] = "mediatum.ub.tum.de/1613658"
    label_names = CLASSES

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        self._path = self.root / FILES[self.split]
        require(self.root, {f"'{split}' split": self._path}, owner=self.name, source=self.source)
        labels_NL = read_values(self._path, "label")
        if labels_NL.ndim != 2 or labels_NL.shape[1] != len(CLASSES) or len(labels_NL) == 0:
            raise DataError(f"{self._path}: 'label' has shape {labels_NL.shape}, expected (N, 17)")
        self._labels = np.argmax(labels_NL, axis=1)

    def __len__(self) -> int:
        return len(self._labels)

    def record(self, index: int) -> Record:
        sources: dict[str, Source] = {
            "s1": ArraySource(
                self._path,
                "sen1",
                PRESETS["sentinel1_power"],
                index=index,
                channels=(LEE_VV, LEE_VH),
                channels_last=True,
            ),
            "s2": ArraySource(self._path, "sen2", PRESETS["so2sat_sen2"], index=index, channels_last=True),
        }
        name = f"{self.split}/{index}"
        return Record(name, name, sources, {c: float(i == self._labels[index]) for i, c in enumerate(CLASSES)})
