"""Where a raster lies, as a modality of its own. Shape legend: V = samples of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.types import ModalityInput
from domains.remote_sensing.io.open import grid
from domains.remote_sensing.raster import apply, lonlat_of
from domains.remote_sensing.sensors import preset


class LocationProcessor(Processor):
    """Longitude and latitude of the middle of a raster, degrees (WGS 84); a raster without CRS lacks this modality.

    of: the modality whose rasters are meant. sensor: preset of their bands. collate: x (V, 2) float64.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text"]] = "image"

    def __init__(self, *, of: str, sensor: str) -> None:
        self.of, self.sensor = of, sensor
        self.spec = preset(sensor)

    def load(self, source: Any) -> Sample:
        transform, (height, width), crs = grid(source, self.spec)
        if not crs:
            return {}
        return {"x": np.array(lonlat_of(crs, apply(transform, width / 2, height / 2)), np.float64)}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        return ModalityInput(torch.from_numpy(np.stack([np.asarray(s["x"], np.float64) for s in samples])))
