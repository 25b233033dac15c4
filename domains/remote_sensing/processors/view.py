"""Crops of one raster as views of their own, each drawn for itself: what self-distillation compares.

Shape legend: C = bands, H, W = rows and columns of a sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F

from core.data.processor import Sample
from core.errors import ConfigError
from domains.remote_sensing.io.resample import Resampling
from domains.remote_sensing.processors.geometry import Variation, cropped, turned
from domains.remote_sensing.processors.normalise import Normalise
from domains.remote_sensing.processors.raster import MISSING, RasterProcessor


class RasterView(RasterProcessor):
    """A raster of which training sees a random square, resized; evaluation sees the whole sample.

    area: smallest and largest share of the sample that the square covers (its shorter side squared is the most). side:
    of the square after resizing (bilinear, over valid pixels only), in pixels. The place, size, mirroring and turn of a
    view are its own, unlike those of `RasterProcessor`, which all modalities of a record share. Give `flip` and
    `rotate` as false where captions name directions. Other arguments: as in `RasterProcessor`.
    """

    not_in_load: ClassVar[frozenset[str]] = RasterProcessor.not_in_load | {"area", "side"}

    def __init__(
        self,
        *,
        sensor: str,
        side: int,
        area: tuple[float, float] = (0.4, 1.0),
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
        flip: bool = True,
        rotate: bool = True,
        gain: float = 0.0,
        shift: float = 0.0,
        of: str = "",
    ) -> None:
        super().__init__(
            sensor=sensor, bands=bands, baseline=baseline, size=size, pixel=pixel, resampling=resampling,
            missing=missing, normalise=normalise, statistics=statistics, low=low, high=high, flip=flip, rotate=rotate,
            gain=gain, shift=shift, of=of,
        )  # fmt: skip
        if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
            raise ConfigError(f"area: is {list(area)}; give two shares, 0 < smallest <= largest <= 1")
        if side < 1:
            raise ConfigError(f"side: is {side}; give the rows and columns of a view, at least 1")
        self.area, self.side = (float(area[0]), float(area[1])), side

    def augment_jointly(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        """Nothing: views of one raster differ."""
        return dict(sample)

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        """The view, then what `RasterProcessor` changes of its values."""
        variation, share = Variation.draw(rng), float(rng.uniform(*self.area))
        x_CHW = sample["x"]
        shorter = min(x_CHW.shape[-2:])
        part = cropped(x_CHW, variation, max(1, round(math.sqrt(share) * shorter)), 1)
        part = turned(resized(part, self.side), variation, flip=self.flip, rotate=self.rotate)
        return super().augment({**sample, "x": np.ascontiguousarray(part)}, rng)


def resized(x_CHW: np.ndarray, side: int) -> np.ndarray:
    """(C, H, W) int16 with MISSING as (C, side, side): a pixel is the mean of the valid ones it comes from, and missing
    where they have less than half of the weight."""
    if x_CHW.shape[-2:] == (side, side):
        return x_CHW
    known = x_CHW != MISSING
    shrinks = min(x_CHW.shape[-2:]) > side
    values = torch.from_numpy(np.where(known, x_CHW, 0).astype(np.float32))[None]
    out = F.interpolate(values, size=(side, side), mode="bilinear", antialias=shrinks)[0].numpy()
    if not known.all():
        weight = torch.from_numpy(known.astype(np.float32))[None]
        share = F.interpolate(weight, size=(side, side), mode="bilinear", antialias=shrinks)[0].numpy()
        out = np.where(share >= 0.5, out / np.maximum(share, 0.5), MISSING)
    return np.rint(out).astype(np.int16)
