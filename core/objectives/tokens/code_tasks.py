"""How one modality of discrete tokens takes part in 4M: a grid of codes, or a sequence with span corruption.

Shape legend: V = rows in which the modality is present, N = codes of a grid, T = ids of a sequence, I = inputs of the
row that has most, Q = targets of the row that has most.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn import SinCosPositions
from core.objectives.tokens.budgets import rank_of, shown
from core.objectives.tokens.spans import Spans, at_most_spans, corrupt_spans, crop_target, keep_within
from core.types import ModalityInput


@dataclass(frozen=True, slots=True)
class CodeDraw:
    """One draw of the task. inp: what the encoder embeds; keep, real: (V, I) which of its tokens are visible.

    place: (V, Q) position of each target; given: (V, Q) id that the decoder is told there (the one before, in a
    sequence), None when it is told nothing; target: (V, Q) id to predict; wanted: (V, Q) bool, False = filler.
    """

    inp: ModalityInput
    keep: Tensor
    real: Tensor
    place: Tensor
    given: Tensor | None
    target: Tensor
    wanted: Tensor

    def to(self, device: torch.device) -> CodeDraw:
        given = None if self.given is None else self.given.to(device)
        rest = (t.to(device) for t in (self.keep, self.real, self.place, self.target, self.wanted))
        keep, real, place, target, wanted = rest
        return CodeDraw(self.inp.to(device), keep, real, place, given, target, wanted)


class CodeTask(nn.Module, ABC):
    """vocab_size: ids of the modality. on_grid: inputs and targets are disjoint parts of one grid, predicted in
    parallel; otherwise targets are predicted one after the other."""

    vocab_size: int
    on_grid: bool
    positions: SinCosPositions

    @abstractmethod
    def size(self, inp: ModalityInput) -> Tensor:
        """(V,) tokens that each row can show or be asked for."""

    @abstractmethod
    def draw(self, inp: ModalityInput, inputs_V: Tensor, targets_V: Tensor, generator: torch.Generator) -> CodeDraw: ...


class GridCodes(CodeTask):
    """Codes (V, *grid) of an image-like modality: random disjoint sets of inputs and targets."""

    on_grid = True

    def __init__(self, *, vocab_size: int, grid: Sequence[int], width: int) -> None:
        """grid: of the codes. width: of the decoder."""
        super().__init__()
        self.vocab_size, self.grid = vocab_size, tuple(grid)
        self.positions = SinCosPositions(grid=grid, width=width)
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))

    def size(self, inp: ModalityInput) -> Tensor:
        return torch.full((len(inp),), math.prod(inp.x.shape[1:]))

    def draw(self, inp: ModalityInput, inputs_V: Tensor, targets_V: Tensor, generator: torch.Generator) -> CodeDraw:
        ids_VN = inp.x.flatten(1)
        if inp.x.shape[1:] != self.grid:
            raise ConfigError(f"GridCodes: codes have the grid {tuple(inp.x.shape[1:])}, expected {self.grid}")
        every_VN = torch.ones(ids_VN.shape, dtype=torch.bool)
        rank_VN = rank_of(torch.rand(ids_VN.shape, generator=generator), every_VN)
        inside_VN = rank_VN < inputs_V[:, None]
        asked_VN = ~inside_VN & (rank_VN < (inputs_V + targets_V)[:, None])
        source, wish = shown(inside_VN, asked_VN), shown(asked_VN, inside_VN)
        target_VQ = ids_VN.gather(1, wish.keep.to(ids_VN.device))
        return CodeDraw(inp, source.keep, source.real, wish.keep, None, target_VQ, wish.real)


class KeepShare(nn.Module, ABC):
    """Which share of a sequence is kept as input."""

    @abstractmethod
    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        """(rows,) in [0, 1]."""


class UniformKeep(KeepShare):
    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        return torch.rand(rows, generator=generator)


class AllOrNothingKeep(KeepShare):
    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        return (torch.rand(rows, generator=generator) < 0.5).float()


class KeepAll(KeepShare):
    def draw(self, rows: int, generator: torch.Generator) -> Tensor:
        return torch.ones(rows)


class SpanCodes(CodeTask):
    """A sequence (V, T) with its mask: tokens are kept with a drawn chance, runs of the others become sentinels.

    An input that is longer than its budget keeps fewer tokens; a target that is longer starts at a random sentinel.
    The first token of a target is told, each further one is predicted from those before.
    """

    on_grid = False

    def __init__(
        self,
        *,
        vocab_size: int,
        max_length: int,
        width: int,
        first_sentinel: int,
        sentinels: int,
        keep: KeepShare | None = None,
    ) -> None:
        """max_length: of a target, sentinels included. width: of the decoder. first_sentinel: id of [S_1]; sentinels:
        how many follow one another from there. keep: uniform when None."""
        super().__init__()
        if not 0 <= first_sentinel < first_sentinel + sentinels <= vocab_size or sentinels < 2:
            raise ConfigError(
                f"SpanCodes: {sentinels} sentinels from id {first_sentinel} on; needs at least 2, all below vocab_size "
                f"{vocab_size}"
            )
        self.vocab_size, self.max_length = vocab_size, max_length
        self.first_sentinel, self.sentinels = first_sentinel, sentinels
        self.keep = UniformKeep() if keep is None else keep
        self.positions = SinCosPositions(grid=(max_length,), width=width)
        self.told = nn.Embedding(vocab_size, width)
        nn.init.trunc_normal_(self.told.weight, std=0.02)

    def size(self, inp: ModalityInput) -> Tensor:
        return torch.full((len(inp),), self.max_length)

    def corrupt(self, inp: ModalityInput, inputs_V: Tensor, targets_V: Tensor, generator: torch.Generator) -> Spans:
        """Input and target within their budgets, on the CPU."""
        ids_VT = inp.x.cpu()
        real_VT = torch.ones(ids_VT.shape, dtype=torch.bool) if inp.mask is None else inp.mask.cpu()
        share_V = self.keep.draw(len(ids_VT), generator)
        noise_VT = torch.rand(ids_VT.shape, generator=generator)
        keep_VT = at_most_spans(keep_within(noise_VT, real_VT, share_V, inputs_V), real_VT, self.sentinels - 1)
        marks = {"first_sentinel": self.first_sentinel, "sentinels": self.sentinels}
        spans = corrupt_spans(ids_VT, keep_VT, real_VT, **marks)
        draw_V = torch.rand(len(ids_VT), generator=generator)
        return crop_target(spans, targets_V.minimum(torch.tensor(self.max_length)), **marks, draw_V=draw_V)

    def draw(self, inp: ModalityInput, inputs_V: Tensor, targets_V: Tensor, generator: torch.Generator) -> CodeDraw:
        spans = self.corrupt(inp, inputs_V, targets_V, generator)
        visible_VI = spans.input_mask & (inputs_V > 0)[:, None]
        place_VI = torch.arange(spans.input.shape[1]).expand(spans.input.shape)
        corrupted = ModalityInput(spans.input.to(inp.x.device), visible_VI.to(inp.x.device))
        given_VQ, target_VQ = spans.target[:, :-1], spans.target[:, 1:]
        place_VQ = torch.arange(target_VQ.shape[1]).expand(target_VQ.shape)
        return CodeDraw(corrupted, place_VI, visible_VI, place_VQ, given_VQ, target_VQ, spans.target_mask[:, 1:])
