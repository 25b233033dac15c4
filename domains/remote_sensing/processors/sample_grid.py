"""Where the pixels of a sample lie on the Earth: label maps onto a sample, predictions back onto the raster.

Shape legend: G = classes, H, W = rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError
from domains.remote_sensing.bands import BandSpec
from domains.remote_sensing.data.source import LabelSource
from domains.remote_sensing.io.labels import UNKNOWN, onto_grid, read_label_map
from domains.remote_sensing.io.open import grid
from domains.remote_sensing.io.resample import Resampling, resample
from domains.remote_sensing.io.write import MapWriter
from domains.remote_sensing.processors.geometry import centred
from domains.remote_sensing.raster import Transform, relative, same_grid


@dataclass(frozen=True, slots=True)
class SampleGrid:
    """own: transform and shape of the raster itself. read: those it is read on (another pixel size). size: of the
    sample, the middle of that; None = all of it."""

    own: tuple[Transform, tuple[int, int]]
    read: tuple[Transform, tuple[int, int]]
    crs: str
    size: tuple[int, int] | None

    @classmethod
    def of(cls, source: Any, stored: BandSpec, *, pixel: float | None, size: tuple[int, int] | None) -> SampleGrid:
        transform, shape, crs = grid(source, stored)
        read = (transform, shape) if pixel is None else grid(source, stored, pixel=pixel)[:2]
        return cls((transform, shape), read, crs, size)

    def labels(self, source: Path | LabelSource) -> np.ndarray:
        """(H, W) int16 of a label map on the sample, nearest neighbour; -1 where not labelled.

        Raises DataError naming the file when the labels lie elsewhere.
        """
        found = read_label_map(source)
        try:
            labels_HW = onto_grid(found, *self.read, self.crs)
        except DataError as err:
            raise DataError(f"{getattr(source, 'path', source)}: {err}") from None
        return labels_HW if self.size is None else centred(labels_HW, self.size, -1)

    def back(self, labels: np.ndarray) -> np.ndarray:
        """(H, W) class numbers on the raster's own grid, from class numbers (H, W) of a sample, taken by nearest
        neighbour, or from scores (G, H, W), which are interpolated before the largest is taken; 0 beyond the sample."""
        scores = labels if labels.ndim == 3 else labels[None]
        expected = self.size or self.read[1]
        if scores.shape[1:] != expected:
            raise DataError(f"labels have shape {scores.shape[1:]}, the sample of this raster has {expected}")
        whole = centred(scores.astype(np.float32), self.read[1], np.nan)
        if not same_grid(*self.read, *self.own):
            how: Resampling = "bilinear" if labels.ndim == 3 else "nearest"
            whole = resample(whole, relative(self.read[0], self.own[0]), self.own[1], how)
        beyond_HW = ~np.isfinite(whole[0])
        filled = np.where(beyond_HW, 0, whole)
        chosen_HW = filled.argmax(axis=0) if labels.ndim == 3 else filled[0]
        return np.where(beyond_HW, 0, chosen_HW).astype(np.int32)

    def write(self, labels_HW: np.ndarray, path: Path) -> None:
        """Write class numbers on the raster's own grid as a Cloud-Optimised GeoTIFF; negative ones are not labelled."""
        transform, shape = self.own
        if labels_HW.shape != shape:
            raise DataError(f"{path}: labels have shape {labels_HW.shape}, the raster has {shape}")
        if labels_HW.max() >= UNKNOWN:
            raise DataError(f"{path}: class {labels_HW.max()} does not fit a label map of 8 bits (255: not labelled)")
        numbers = np.where(labels_HW < 0, UNKNOWN, labels_HW).astype(np.uint8)
        with MapWriter(
            path, shape=shape, transform=transform, crs=self.crs, dtype="uint8", nodata=UNKNOWN, names=("class",)
        ) as out:
            out.write(numbers)
