"""Where a token term reads the tokens it decodes: from the encoder itself, or from a layer of the fusion.

Shape legend: V = rows in which the modality is present, n = rows a term works on, N = tokens, D = width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step
from core.types import Encoded, ModalityInput, Tokens


class TokenSource(nn.Module, ABC):
    @abstractmethod
    def rows(self, step: Step, modality: str) -> Tensor:
        """(n,) int64 rows of V that can be read this way; empty when there are none."""

    @abstractmethod
    def tokens(self, step: Step, modality: str, inp: ModalityInput, keep: Tensor | None = None) -> Tokens:
        """Tokens of the changed input `inp` of those rows, of which only the grid positions `keep` are visible."""


class FromEncoder(TokenSource):
    """The last layer of the modality's own encoder."""

    def rows(self, step: Step, modality: str) -> Tensor:
        return torch.arange(len(step.input(modality)) if step.has(modality) else 0)

    def tokens(self, step: Step, modality: str, inp: ModalityInput, keep: Tensor | None = None) -> Tokens:
        return tokens_of(step.model.encode(modality, inp, keep=keep), modality)


class FromFusion(TokenSource):
    """The modality's stream in the fusion, beside the clean tokens of `partner`, over rows that hold both.

    layer: the stream as it enters fusion layer `layer` (3: after layers 0 to 2, as M3AE decodes images), at least 1;
    -1: after the last. Layers that are not needed do not run.
    """

    def __init__(self, *, partner: str, layer: int = -1) -> None:
        super().__init__()
        if layer < 1 and layer != -1:
            raise ConfigError(f"FromFusion: layer is {layer}; give -1 for the end or a layer from 1 on")
        self.partner, self.layer = partner, layer

    @property
    def stop_after(self) -> int | None:
        return None if self.layer == -1 else self.layer - 1

    def rows(self, step: Step, modality: str) -> Tensor:
        return step.paired_rows(modality, self.partner)[0]

    def tokens(self, step: Step, modality: str, inp: ModalityInput, keep: Tensor | None = None) -> Tokens:
        fusion = fusion_of(step, f"a masked '{modality}' read from the fusion")
        own = tokens_of(step.model.encode(modality, inp, keep=keep), modality)
        partner_rows = step.paired_rows(modality, self.partner)[1]
        partner = select(tokens_of(step.encoded(self.partner), self.partner), partner_rows)
        return fusion({modality: own, self.partner: partner}, stop_after=self.stop_after).streams[modality]


class FromFusionWith(TokenSource):
    """The modality's stream after the fusion's last layer, beside the clean tokens of several partners.

    partners: over rows that hold all of them. optional: partners that a row may lack; then it masks their tokens.
    """

    def __init__(self, *, partners: list[str], optional: list[str] | None = None) -> None:
        super().__init__()
        if not partners:
            raise ConfigError("FromFusionWith: partners is empty; name one modality at least")
        self.partners, self.optional = list(partners), list(optional or [])

    def rows(self, step: Step, modality: str) -> Tensor:
        return self._rows(step, modality)[0]

    def _rows(self, step: Step, modality: str) -> tuple[Tensor, Tensor]:
        """Rows of V and rows of B that hold the modality and all partners."""
        rows_n = complete_rows(step, [modality, *self.partners])
        if len(rows_n) == 0:
            return rows_n, rows_n
        of_V = step.batch.present[modality].cpu().long().cumsum(0) - 1
        return of_V[rows_n].to(step.input(modality).x.device), rows_n

    def tokens(self, step: Step, modality: str, inp: ModalityInput, keep: Tensor | None = None) -> Tokens:
        fusion = fusion_of(step, f"a masked '{modality}' read from the fusion")
        own = tokens_of(step.model.encode(modality, inp, keep=keep), modality)
        rows_n = self._rows(step, modality)[1]
        others = [*self.partners, *(name for name in self.optional if step.has(name))]
        return fusion({modality: own, **{name: tokens_at(step, name, rows_n) for name in others}}).streams[modality]


def complete_rows(step: Step, modalities: Sequence[str]) -> Tensor:
    """(n,) rows of B that hold all of these modalities, on the CPU."""
    if not all(step.has(name) for name in modalities):
        return torch.zeros(0, dtype=torch.int64)
    every_B = torch.stack([step.batch.present[name].cpu() for name in modalities]).all(dim=0)
    return every_B.nonzero(as_tuple=True)[0]


def tokens_at(step: Step, modality: str, rows_n: Tensor) -> Tokens:
    """Clean tokens of the rows `rows_n` of B, which may repeat; zeros and an empty mask where a row lacks them."""
    tokens = tokens_of(step.encoded(modality), modality)
    present_B = step.batch.present[modality].cpu()
    of_V = present_B.long().cumsum(0) - 1
    found = select(tokens, of_V[rows_n].clamp_min(0).to(tokens.x.device))
    here_n = present_B[rows_n].to(tokens.x.device)
    if bool(present_B[rows_n].all()):
        return found
    mask = torch.ones(found.x.shape[:2], dtype=torch.bool, device=found.x.device) if found.mask is None else found.mask
    return Tokens(
        x=found.x.masked_fill(~here_n[:, None, None], 0.0), mask=mask & here_n[:, None], grid=found.grid,
        prefix=found.prefix,
    )  # fmt: skip


def fusion_of(step: Step, who: str) -> nn.Module:
    """The model's fusion. Raises ConfigError when it has none; `who` is what needs it."""
    if step.model.fusion is None:
        raise ConfigError(f"{who} needs model.fusion, which is not set; give one such as core.fusion.CoAttention")
    return step.model.fusion


def tokens_of(encoded: Encoded, modality: str) -> Tokens:
    """The token sequence of an encoding. Raises ConfigError when the encoder gives none."""
    if encoded.tokens is None:
        raise ConfigError(f"the encoder of '{modality}' gives no tokens; use a transformer encoder here")
    return encoded.tokens


def select(tokens: Tokens, rows_n: Tensor) -> Tokens:
    """The rows `rows_n` of a token sequence."""
    mask = None if tokens.mask is None else tokens.mask[rows_n]
    return Tokens(x=tokens.x[rows_n], mask=mask, grid=tokens.grid, prefix=tokens.prefix)
