"""Scans without an absolute unit (MR, PET, ultrasound volumes) to model input."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from core.errors import ConfigError
from domains.medical.geometry import Units, Volume
from domains.medical.processors.volume import VolumeProcessor


class ScanProcessor(VolumeProcessor):
    """One channel in [0, 1]: the scan's own values between two of its percentiles (repeated for `repeat` channels).

    percentiles: the values at these become 0 and 1, what lies beyond is clipped; they are taken over the whole scan
    before resampling, so they do not depend on the grid. Works for a scan in any units, and for one picture, which is a
    scan of one slice. The sample keeps `x` as float16.
    """

    units: ClassVar[Units] = "raw"
    air: ClassVar[float] = 0.0
    not_in_load: ClassVar[frozenset[str]] = VolumeProcessor.not_in_load | {"repeat", "contrast"}

    def __init__(
        self,
        *,
        spacing: tuple[float, float, float] | None = None,
        size: tuple[int, int, int] | None = (24, 96, 96),
        percentiles: tuple[float, float] = (0.5, 99.5),
        repeat: int = 1,
        shift: float = 0.05,
        scale: float = 0.08,
        noise: float = 0.02,
        contrast: float = 0.1,
    ) -> None:
        super().__init__(spacing=spacing, size=size, shift=shift, scale=scale, noise=noise)
        if not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise ConfigError(f"percentiles: is {percentiles}; give (low, high) with 0 <= low < high <= 100")
        if repeat < 1:
            raise ConfigError(f"repeat: is {repeat}; give the number of equal channels, at least 1")
        self.percentiles = (float(percentiles[0]), float(percentiles[1]))
        self.repeat, self.contrast = repeat, contrast

    def values(self, volume: Volume) -> np.ndarray:
        return scaled_by_percentiles(volume.array_XYZ, self.percentiles)

    def stored(self, x_SHW: np.ndarray) -> np.ndarray:
        return x_SHW.astype(np.float16)

    def vary_values(self, x_PSHW: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        gain = np.float32(1 + rng.uniform(-self.contrast, self.contrast))
        return np.clip(super().vary_values(x_PSHW * gain, rng), 0, 1)

    def channels(self, x_VSHW: torch.Tensor) -> torch.Tensor:
        return x_VSHW[:, None].expand(-1, self.repeat, -1, -1, -1).contiguous()


def scaled_by_percentiles(array: np.ndarray, percentiles: tuple[float, float]) -> np.ndarray:
    """Values between two percentiles to [0, 1], float32, clipped; smallest to largest where these coincide."""
    low, high = (float(v) for v in np.percentile(array, percentiles))
    if not high > low:
        low, high = float(array.min()), float(array.max())
    if not high > low:  # one voxel only, or a caller's blank array: readers refuse blank files
        return np.zeros(array.shape, np.float32)
    scaled = (np.asarray(array, np.float64) - low) / (high - low)
    return np.clip(scaled, 0, 1).astype(np.float32)
