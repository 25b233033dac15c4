"""Pictures as grids of discrete codes, for models that predict tokens (4M, Mizrahi et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch

from core.errors import ConfigError
from core.types import ModalityInput
from domains.medical.processors.radiograph import RadiographProcessor


class PictureCodesProcessor(RadiographProcessor):
    """The grey level of every cell of a coarse grid as a number from 0 to `levels` - 1: x (V, H, W) int64.

    A stand-in for a learned tokeniser (4M trains a VQ-VAE per modality): nothing has to be trained, and a code means
    something to a person. size: rows and columns of the grid. Everything else as in `RadiographProcessor`.
    """

    not_in_load: ClassVar[frozenset[str]] = RadiographProcessor.not_in_load | {"levels"}

    def __init__(
        self,
        *,
        size: tuple[int, int] = (12, 12),
        levels: int = 32,
        shift: float = 0.05,
        scale: float = 0.1,
        rotate: float = 5.0,
        contrast: float = 0.0,
        noise: float = 0.0,
        crop: tuple[float, float] = (1.0, 1.0),
        of: str = "",
    ) -> None:
        super().__init__(
            size=size, shift=shift, scale=scale, rotate=rotate, contrast=contrast, noise=noise, crop=crop, of=of
        )
        if levels < 2:
            raise ConfigError(f"levels: is {levels}; give at least 2")
        self.levels = levels

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        x_VHW = torch.from_numpy(np.stack([np.asarray(s["x"], np.float32) for s in samples]))
        return ModalityInput((x_VHW * self.levels).long().clamp_(0, self.levels - 1))
