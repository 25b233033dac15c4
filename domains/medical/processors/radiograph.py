"""Radiographs and other single pictures to model input.

Shape legend: V = samples of a batch, C = channels, H, W = rows and columns as displayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F

from core.data.processor import Processor, Sample
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.medical.geometry import Radiograph, Volume, window
from domains.medical.io.open import read
from domains.medical.processors import augment as vary
from domains.medical.processors.grid import canonical
from domains.medical.processors.scan import scaled_by_percentiles

WIDE_WINDOW = (0.0, 2000.0)  # HU: all of a chest, for a CT slice shown as a picture


class RadiographProcessor(Processor):
    """Channels in [0, 1] of one picture: made to fit `size` without distortion, centred, black around.

    channels: 1, or several equal ones for an encoder that also reads colour or CT windows. rotate: largest random angle
    in degrees; shift, scale: as a share of the picture; contrast, noise: relative and absolute. Nothing is mirrored.
    crop: smallest and largest side of a random part that fills the picture in training, as a share of the whole: a
    local view. of: the modality whose picture this is another view of, with a variation of its own.
    Takes files, Radiographs, 2D arrays in [0, 1], and scans of one slice (CT through a wide window, others by
    percentiles). The sample keeps `x` (H, W) as float16. Resizing averages what it shrinks (antialiased).
    """

    modality_kind: ClassVar[Literal["image", "volume", "text"]] = "image"
    not_in_load: ClassVar[frozenset[str]] = frozenset(
        {"channels", "shift", "scale", "rotate", "contrast", "noise", "crop", "of"}
    )

    def __init__(
        self,
        *,
        size: tuple[int, int] = (224, 224),
        channels: int = 1,
        shift: float = 0.05,
        scale: float = 0.1,
        rotate: float = 5.0,
        contrast: float = 0.2,
        noise: float = 0.01,
        crop: tuple[float, float] = (1.0, 1.0),
        of: str = "",
    ) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ConfigError(f"size: is {size}; give rows and columns")
        if channels < 1:
            raise ConfigError(f"channels: is {channels}; a grey picture has 1, or several equal ones")
        if len(crop) != 2 or not 0 < crop[0] <= crop[1] <= 1:
            raise ConfigError(f"crop: is {crop}; give two shares of a side, 0 < smallest <= largest <= 1")
        self.size, self.channels, self.crop, self.of = tuple(size), channels, (crop[0], crop[1]), of
        self.shift, self.scale, self.rotate, self.contrast, self.noise = shift, scale, rotate, contrast, noise

    def load(self, source: Any) -> Sample:
        picture = self.picture(source)
        return {"x": fitted(picture.array_HW, self.size, picture.pixel_mm).astype(np.float16)}

    def picture(self, source: Any) -> Radiograph:
        """The picture behind a source (see `domains.medical.io.read`). Raises DataError for a scan of many slices."""
        found = read(source)
        if isinstance(found, Radiograph):
            return found
        if 1 not in found.shape:
            name = f"{source}: " if isinstance(source, (str, Path)) else ""
            raise DataError(f"{name}a scan of {found.shape} voxels is not a picture; use a volume processor")
        return _slice_as_picture(found)

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        x_HW = np.asarray(sample["x"], np.float32)
        angle = np.deg2rad(rng.uniform(-self.rotate, self.rotate))
        zoom = 1 + rng.uniform(-self.scale, self.scale)
        rows, columns = x_HW.shape
        part, away = 1.0, np.zeros(2)
        if self.crop[0] < 1:
            part = rng.uniform(*self.crop)
            away = rng.uniform(part - 1, 1 - part, 2)
        zoom = zoom / part
        cos, sin, slant = np.cos(angle) / zoom, np.sin(angle) / zoom, rows / columns
        moved = rng.uniform(-2 * self.shift, 2 * self.shift, 2) + away
        theta = torch.tensor([[[cos, -sin * slant, moved[0]], [sin / slant, cos, moved[1]]]], dtype=torch.float32)
        grid = F.affine_grid(theta, [1, 1, rows, columns], align_corners=False)
        x_HW = F.grid_sample(torch.from_numpy(x_HW)[None, None], grid, align_corners=False)[0, 0].numpy()
        mean = x_HW.mean(dtype=np.float32)
        gain, bias = 1 + rng.uniform(-self.contrast, self.contrast), rng.uniform(-self.contrast, self.contrast) / 4
        x_HW = (x_HW - mean) * np.float32(gain) + mean + np.float32(bias)
        if self.noise > 0:
            x_HW += vary.noise(x_HW.shape, self.noise, rng)
        return {**sample, "x": np.clip(x_HW, 0, 1)}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        x_VHW = torch.from_numpy(np.stack([np.asarray(s["x"], np.float32) for s in samples]))
        return ModalityInput(x_VHW[:, None].expand(-1, self.channels, -1, -1).contiguous())


def fitted(array_HW: np.ndarray, size: Sequence[int], pixel_mm: tuple[float, float] | None) -> np.ndarray:
    """The picture at the largest size that fits `size` in true proportions (pixels need not be square), on black."""
    rows, columns = array_HW.shape
    row_mm, column_mm = pixel_mm or (1.0, 1.0)
    scale = min(size[0] / (rows * row_mm), size[1] / (columns * column_mm))
    shape = [max(1, min(n, round(m * mm * scale))) for n, m, mm in zip(size, (rows, columns), (row_mm, column_mm))]
    x = torch.from_numpy(np.ascontiguousarray(array_HW, np.float32))[None, None]
    x = F.interpolate(x, size=shape, mode="bilinear", antialias=True, align_corners=False)
    top, left = (size[0] - shape[0]) // 2, (size[1] - shape[1]) // 2
    x = F.pad(x, (left, size[1] - shape[1] - left, top, size[0] - shape[0] - top))
    return x[0, 0].clamp(0, 1).numpy()


def _slice_as_picture(volume: Volume) -> Radiograph:
    """One slice as it is displayed, whichever way it cuts the body."""
    if volume.units == "HU":
        shown = volume.changed(window(volume.array_XYZ, *WIDE_WINDOW), "wide window", units="unit")
    else:
        shown = volume.changed(scaled_by_percentiles(volume.array_XYZ, (0.5, 99.5)), "percentiles", units="unit")
    turned = canonical(shown)
    column_mm, row_mm, _ = turned.spacing
    return Radiograph(turned.array_XYZ[:, :, 0].T, (row_mm, column_mm), provenance=turned.provenance)
