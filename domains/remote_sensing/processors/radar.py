"""Synthetic aperture radar: backscatter in dB."""

from __future__ import annotations

from typing import Literal

from core.errors import ConfigError
from domains.remote_sensing.io.resample import Resampling
from domains.remote_sensing.processors.normalise import Normalise
from domains.remote_sensing.processors.raster import RasterProcessor


class RadarProcessor(RasterProcessor):
    """Sentinel-1 and other radar, in dB; power and amplitude are converted. Arguments as in `RasterProcessor`; shift
    0.5 dB by default, about the radiometric accuracy of Sentinel-1. Resampling averages power, not dB.

    Mirror images look from the other side, as the other orbit direction does; set flip and rotate to False for models
    that must tell them apart.
    """

    def __init__(
        self,
        *,
        sensor: str = "sentinel1_db",
        bands: tuple[str, ...] | None = None,
        size: tuple[int, int] | None = None,
        pixel: float | None = None,
        resampling: Resampling = "auto",
        missing: Literal["error", "zero"] = "error",
        normalise: Normalise = "zscore",
        statistics: str = "fit",
        low: float = -30.0,
        high: float = 0.0,
        crop: int | None = None,
        crop_step: int = 1,
        flip: bool = True,
        rotate: bool = True,
        shift: float = 0.5,
    ) -> None:
        super().__init__(
            sensor=sensor, bands=bands, size=size, pixel=pixel, resampling=resampling, missing=missing,
            normalise=normalise, statistics=statistics, low=low, high=high, crop=crop, crop_step=crop_step, flip=flip,
            rotate=rotate, shift=shift,
        )  # fmt: skip
        if self.spec.unit != "db":
            raise ConfigError(
                f"sensor: '{sensor}' is in {self.spec.unit}; RadarProcessor gives models dB (sentinel1_db)"
            )
