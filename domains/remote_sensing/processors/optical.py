"""Optical rasters: reflectance."""

from __future__ import annotations

from typing import Literal

from domains.remote_sensing.io.resample import Resampling
from domains.remote_sensing.processors.normalise import Normalise
from domains.remote_sensing.processors.raster import RasterProcessor


class OpticalProcessor(RasterProcessor):
    """Sentinel-2 and other optical sensors, in reflectance. Arguments as in `RasterProcessor`; gain 0.05 by default,
    the size of what calibration and atmosphere leave."""

    def __init__(
        self,
        *,
        sensor: str = "sentinel2_l2a",
        bands: tuple[str, ...] | None = None,
        baseline: str = "",
        size: tuple[int, int] | None = None,
        pixel: float | None = None,
        resampling: Resampling = "auto",
        missing: Literal["error", "zero"] = "error",
        normalise: Normalise = "zscore",
        statistics: str = "fit",
        low: float = 0.0,
        high: float = 1.0,
        crop: int | None = None,
        crop_step: int = 1,
        flip: bool = True,
        rotate: bool = True,
        gain: float = 0.05,
        shift: float = 0.0,
        of: str = "",
    ) -> None:
        super().__init__(
            sensor=sensor, bands=bands, baseline=baseline, size=size, pixel=pixel, resampling=resampling,
            missing=missing, normalise=normalise, statistics=statistics, low=low, high=high, crop=crop,
            crop_step=crop_step, flip=flip, rotate=rotate, gain=gain, shift=shift, of=of,
        )  # fmt: skip
