"""OVI: visual inversion of an item of another modality. Legend: V = items, R = pseudo patches, D = width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError
from core.nn import PatchEmbed
from core.retrieval.inversion import Inversion, InvertibleModel, output_of
from core.types import ModalityInput


class ImageInversion(Inversion):
    """OVI: pseudo patches for any encoder with a patch `stem`, 2D or 3D; class token and positions stay.

    blank: one input row, x (1, C, *size), that sets the grid; its content is not seen. tokens: pseudo patches per item
    (1, 2 or 4 as published), repeated along the sequence to the number of patches (nearest neighbour).
    """

    def __init__(
        self,
        *,
        model: InvertibleModel,
        modality: str,
        blank: ModalityInput,
        tokens: int = 1,
        steps: int = 1000,
        lr: float = 2e-2,
        weight_decay: float = 0.01,
        init_std: float = 0.02,
        batch_size: int = 64,
    ) -> None:
        super().__init__(
            model=model, modality=modality, tokens=tokens, steps=steps, lr=lr, weight_decay=weight_decay,
            init_std=init_std, batch_size=batch_size,
        )  # fmt: skip
        stem = getattr(self.encoder, "stem", None)
        if not isinstance(stem, PatchEmbed):
            raise ConfigError(
                f"ImageInversion: {type(self.encoder).__name__} of '{modality}' has no patch stem; name an image "
                "modality that a transformer reads"
            )
        if len(blank) != 1:
            raise ConfigError(f"ImageInversion: blank has {len(blank)} rows; give one")
        self.stem, self.blank = stem, blank

    def _width(self) -> int:
        return self.stem.width

    def _like(self) -> Tensor:
        return next(self.stem.parameters())

    def _input(self, rows: int) -> ModalityInput:
        return self.blank.to(self._like().device).rows(torch.zeros(rows, dtype=torch.int64))

    def _replaced(self, pseudo_VRD: Tensor) -> Any:
        def put(embedded: tuple[Tensor, tuple[int, ...]]) -> tuple[Tensor, tuple[int, ...]]:
            patches = embedded[0].shape[1]
            if patches < self.tokens:
                raise ConfigError(f"ImageInversion: {self.tokens} pseudo patches for {patches} patches; ask for fewer")
            return F.interpolate(pseudo_VRD.transpose(1, 2), size=patches, mode="nearest").transpose(1, 2), embedded[1]

        return output_of(self.stem, put)
