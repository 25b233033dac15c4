"""Large batches through small forwards: what a loss needs of every row is kept, what made it is made again.

Shape legend: V = rows in which a modality is present, N = tokens, D = encoder width.
The gradient cache of Gao et al. 2021: (1) encode all micro-batches and keep the features only, (2) take the loss on the
whole set and its gradient with respect to the features, (3) encode each micro-batch again and send its part of that
gradient through. Here each micro-batch is a checkpoint of the autograd graph, which takes step 3 from inside
`backward`: the loss, its scale and the heads see the whole batch once, so nothing is counted once per micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from core.errors import ConfigError
from core.objectives.base import Step, StepModel
from core.types import Batch, Encoded, ModalityInput, Tokens


class CachedStep(Step):
    """A step whose clean forwards run `micro_batch` rows at a time and keep nothing but their outputs.

    Values and gradients are those of the whole batch (equal to 1e-12 in float64), for one more forward. Dropout draws
    the same numbers the second time. Layers that look across rows (batch norm) see a micro-batch, and update their
    running statistics twice. Masked and other forwards of terms' own are not split.
    """

    def __init__(
        self,
        *,
        model: StepModel,
        batch: Batch,
        index: int,
        generator: torch.Generator,
        teachers: Mapping[str, StepModel] | None = None,
        micro_batch: int,
    ) -> None:
        super().__init__(model=model, batch=batch, index=index, generator=generator, teachers=teachers)
        if micro_batch < 1:
            raise ConfigError(f"micro_batch is {micro_batch}; give the rows of one forward, at least 1")
        self.micro_batch = micro_batch

    def encoded(self, modality: str) -> Encoded:
        return self.memo(("encoded", modality), lambda: self._in_parts(modality))

    def _in_parts(self, modality: str) -> Encoded:
        inp = self.input(modality)
        if len(inp) <= self.micro_batch:
            return self.model.encode(modality, inp)
        parts = torch.arange(len(inp), device=inp.x.device).split(self.micro_batch)
        return concatenated([self._kept(modality, inp.rows(rows)) for rows in parts])

    def _kept(self, modality: str, inp: ModalityInput) -> Encoded:
        """The outputs of one forward; in `backward` it runs again."""
        if not torch.is_grad_enabled():
            return self.model.encode(modality, inp)
        encoded: Encoded = checkpoint(self.model.encode, modality, inp, use_reentrant=False)
        return encoded


def concatenated(parts: list[Encoded]) -> Encoded:
    """The encodings of consecutive rows as one. Token sequences are padded to the longest."""
    pooled = torch.cat([part.pooled for part in parts])
    layers = {i: torch.cat([part.layers[i] for part in parts]) for i in parts[0].layers}
    levels = range(len(parts[0].pyramid or []))
    pyramid = [torch.cat([cast(list[Tensor], part.pyramid)[k] for part in parts]) for k in levels]
    tokens = [part.tokens for part in parts if part.tokens is not None]
    return Encoded(pooled, _sequences(tokens) if tokens else None, layers, pyramid or None)


def _sequences(parts: list[Tokens]) -> Tokens:
    longest = max(part.x.shape[1] for part in parts)
    if all(part.x.shape[1] == longest for part in parts) and all(part.mask is None for part in parts):
        return Tokens(torch.cat([part.x for part in parts]), None, parts[0].grid, parts[0].prefix)
    pads = [longest - part.x.shape[1] for part in parts]
    x = torch.cat([torch.nn.functional.pad(part.x, (0, 0, 0, pad)) for part, pad in zip(parts, pads, strict=True)])
    masks = [
        torch.ones(part.x.shape[:2], dtype=torch.bool, device=part.x.device) if part.mask is None else part.mask
        for part in parts
    ]
    mask = torch.cat([torch.nn.functional.pad(m, (0, pad)) for m, pad in zip(masks, pads, strict=True)])
    return Tokens(x, mask, parts[0].grid, parts[0].prefix)
