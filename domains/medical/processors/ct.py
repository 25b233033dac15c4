"""CT to model input: Hounsfield units on the model grid, one channel per window.

Shape legend: V = samples of a batch, P = planes of a sample, C = channels, S, H, W = slices, rows and columns of the
model grid, Z, Y, X = the same axes of the scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from core.errors import ConfigError, DataError
from domains.medical.data.source import ScanSource
from domains.medical.geometry import AIR_HU, Units, Volume
from domains.medical.io.open import read
from domains.medical.processors.grid import Grid, to_grid_max
from domains.medical.processors.volume import VolumeProcessor

MAX_HU = 3071.0  # 12 bits from -1024: metal above it tells nothing more
LUNG, MEDIASTINUM, BONE = (-600.0, 1500.0), (40.0, 400.0), (400.0, 1800.0)


class CTProcessor(VolumeProcessor):
    """Channels in [0, 1], one per window, of a CT in Hounsfield units.

    windows: (centre, width) in HU, in the order of the channels. mip_windows: further channels, windows of the maximum
    over each voxel's footprint instead of the mean: a thick-slab maximum-intensity projection, in which radiologists
    look for nodules and calcium, because it keeps what is smaller than a voxel of the model grid.
    hu_shift: largest random offset of all values, in HU; hu_scale: largest relative error of the contrast to water.
    The sample keeps `x`, and `mip` when there are mip_windows, as int16 HU in [-1024, 3071], a third of the size of
    three windows; `collate` applies the windows, exactly as MONAI's ScaleIntensityRange with clip does. A voxel beyond
    the scan is air (-1024 HU).
    Values of NIfTI files and arrays are taken to be HU; what cannot be is refused with a DataError.
    """

    units: ClassVar[Units] = "HU"
    air: ClassVar[float] = AIR_HU
    not_in_load: ClassVar[frozenset[str]] = (  # whether there are mip_windows is told by `planes`
        VolumeProcessor.not_in_load | {"windows", "mip_windows", "hu_shift", "hu_scale"}
    )

    def __init__(
        self,
        *,
        spacing: tuple[float, float, float] | None = None,
        size: tuple[int, int, int] | None = (24, 96, 96),
        windows: tuple[tuple[float, float], ...] = (LUNG, MEDIASTINUM, BONE),
        shift: float = 0.05,
        scale: float = 0.08,
        noise: float = 15.0,
        hu_shift: float = 15.0,
        hu_scale: float = 0.03,
        mip_windows: tuple[tuple[float, float], ...] = (),
    ) -> None:
        super().__init__(spacing=spacing, size=size, shift=shift, scale=scale, noise=noise)
        self.windows = _checked("windows", windows, least=1)
        self.mip_windows = _checked("mip_windows", mip_windows, least=0)
        self.planes = ("x", "mip") if mip_windows else ("x",)
        self.hu_shift, self.hu_scale = hu_shift, hu_scale

    def volume(self, source: Any) -> Volume:
        found = read(source, units=self.units)
        if not isinstance(found, Volume):
            raise DataError(f"{_name(source)}this is a picture without Hounsfield units; use a picture processor")
        if not isinstance(source, (Volume, ScanSource)) and found.provenance[:1] != ("dicom",):
            _require_plausible(found, _name(source))
        return found

    def values(self, volume: Volume) -> np.ndarray:
        if volume.units != "HU":
            raise DataError(
                f"CT needs Hounsfield units, the values are {volume.units}; give rescale slope and intercept, "
                "or use ScanProcessor for scans without an absolute unit"
            )
        return np.clip(volume.array_XYZ, AIR_HU, MAX_HU)

    def stored(self, x_SHW: np.ndarray) -> np.ndarray:
        return np.rint(x_SHW).astype(np.int16)

    def plane(self, name: str, scan_ZYX: np.ndarray, grid: Grid) -> np.ndarray:
        return to_grid_max(scan_ZYX, grid, air=self.air) if name == "mip" else super().plane(name, scan_ZYX, grid)

    def vary_values(self, x_PSHW: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        gain = np.float32(1 + rng.uniform(-self.hu_scale, self.hu_scale))
        offset = np.float32(rng.uniform(-self.hu_shift, self.hu_shift))
        return super().vary_values(x_PSHW * gain + offset, rng)

    def channels(self, x_VSHW: torch.Tensor, mip_VSHW: torch.Tensor | None = None) -> torch.Tensor:
        """(V, C, S, H, W) float32 of HU: `windows` of x, then `mip_windows` of the maxima if they are given."""
        shown = [(x_VSHW, window) for window in self.windows]
        if mip_VSHW is not None:
            shown += [(mip_VSHW, window) for window in self.mip_windows]
        out = torch.empty((len(x_VSHW), len(shown), *x_VSHW.shape[1:]))
        for channel, (hu_VSHW, (centre, width)) in enumerate(shown):
            lower = torch.tensor(0.5 - centre / width)
            torch.add(lower, hu_VSHW, alpha=1 / width, out=out[:, channel]).clamp_(0, 1)
        return out

    def plane_channels(self, planes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.channels(planes["x"], planes.get("mip"))


def _checked(name: str, windows: Sequence[Sequence[float]], *, least: int) -> tuple[tuple[float, float], ...]:
    if len(windows) < least or any(len(w) != 2 or w[1] <= 0 for w in windows):
        raise ConfigError(f"{name}: is {windows}; give (centre, width) pairs in HU with a positive width")
    return tuple((float(centre), float(width)) for centre, width in windows)


def _require_plausible(volume: Volume, name: str) -> None:
    """A body in HU has something below water: fat, lung or the air around it."""
    low, high = float(volume.array_XYZ.min()), float(volume.array_XYZ.max())
    if low >= 0 or high - low < 50:
        raise DataError(
            f"{name}values from {low:g} to {high:g} cannot be Hounsfield units of a body (air is -1000, water 0); "
            "if they are stored values, give a ScanSource with slope and intercept"
        )


def _name(source: Any) -> str:
    path = getattr(source, "path", source)
    return f"{path}: " if isinstance(path, (str, Path)) else ""
