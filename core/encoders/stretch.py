"""Longer texts for an encoder with learned positions: the knowledge-preserved stretch of Long-CLIP (Zhang et al. 2024).

Shape legend: L = old length, M = new length, K = kept rows, D = width, f = factor.
The first rows are well trained and stay as they are; the others are drawn out by linear interpolation:
    row K + f i + j = (1 - j/f) p[K + i] + (j/f) p[K + i + 1],   j = 0 .. f - 1,
and the last f rows go on beyond the table, p[L - 1] + (j/f) (p[L - 1] - p[L - 2]). M = f L - (f - 1) K: 77 rows with
20 kept and factor 4 become 248.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.encoders.base import Encoder
from core.encoders.text import TextTransformer
from core.errors import CheckpointError, ConfigError
from core.nn import LearnedPositions, Positions

KEPT, FACTOR = 20, 4  # Long-CLIP: positions above 20 were hardly trained by short captions


def stretched_length(length: int, *, kept: int = KEPT, factor: int = FACTOR) -> int:
    """M. Raises ConfigError unless factor >= 1 and there are two rows to draw out."""
    if factor < 1 or not 0 <= kept <= length - 2:
        raise ConfigError(
            f"stretch: {length} positions, kept {kept}, factor {factor}; needs a factor of at least 1 and "
            "0 <= kept <= positions - 2"
        )
    return factor * length - (factor - 1) * kept


def stretch_table(table_LD: Tensor, *, kept: int = KEPT, factor: int = FACTOR) -> Tensor:
    """(M, D) from (L, D), by the rule above; the kept rows bit for bit, interpolation in float32 or finer."""
    stretched_length(len(table_LD), kept=kept, factor=factor)
    rest_RD = table_LD[kept:].to(torch.promote_types(table_LD.dtype, torch.float32))
    beyond_1D = (2 * rest_RD[-1] - rest_RD[-2])[None]
    step_RD = torch.cat([rest_RD[1:], beyond_1D]) - rest_RD
    share_f11 = (torch.arange(factor).to(rest_RD) / factor)[:, None, None]
    drawn_RfD = (rest_RD + share_f11 * step_RD).transpose(0, 1)
    return torch.cat([table_LD[:kept], drawn_RfD.flatten(0, 1).to(table_LD.dtype)])


class StretchedPositions(Positions):
    """Learned positions whose first `kept` rows are frozen (a buffer) and whose rest is trained.

    For a text encoder with `max_length` equal to `length`. Made from a trained table by `stretch_text`, or by a run
    with `init_from` of a model whose table is shorter: `adopt` draws it out. Fresh, it is a random table.
    Raises ConfigError for a length that no whole table of `length_before` rows is drawn out to.
    """

    first: Tensor

    def __init__(self, *, length: int, width: int, kept: int = KEPT, factor: int = FACTOR) -> None:
        super().__init__(grid=(length,), width=width)
        self.length_before, left = divmod(length + (factor - 1) * kept, factor)
        if left or stretched_length(self.length_before, kept=kept, factor=factor) != length:
            near = stretched_length(self.length_before + 1, kept=kept, factor=factor)
            raise ConfigError(
                f"StretchedPositions: length {length} is no table drawn out by {factor} with {kept} kept; {near} is, "
                f"from {self.length_before + 1}"
            )
        self.kept, self.factor = kept, factor
        fresh_MD = nn.init.trunc_normal_(torch.empty(length, width), std=0.02)
        self.register_buffer("first", fresh_MD[:kept].clone())
        self.rest = nn.Parameter(fresh_MD[kept:].clone())

    def forward(self, grid: Any) -> Tensor:
        if tuple(grid) != self.grid:
            raise ConfigError(f"StretchedPositions: made for {self.grid}, asked for {tuple(grid)}")
        return torch.cat([self.first.to(self.rest.dtype), self.rest])

    @torch.no_grad()
    def take(self, table_LD: Tensor) -> None:
        """Hold the stretch of a trained table. Raises ConfigError for one of another size."""
        if tuple(table_LD.shape) != (self.length_before, self.width):
            raise ConfigError(
                f"StretchedPositions: the table is {tuple(table_LD.shape)}, expected {(self.length_before, self.width)}"
            )
        drawn_MD = stretch_table(table_LD, kept=self.kept, factor=self.factor)
        self.first.copy_(drawn_MD[: self.kept])
        self.rest.copy_(drawn_MD[self.kept :])

    def adopt(self, state: dict[str, Tensor], prefix: str) -> None:
        """Replace the saved entry `table` of plain learned positions by `first` and `rest`."""
        table_LD = state.get(f"{prefix}table")
        if table_LD is None:
            return
        try:
            self.take(table_LD)
        except ConfigError as err:
            raise CheckpointError(f"{prefix}table: {err}") from err
        del state[f"{prefix}table"]
        state[f"{prefix}first"], state[f"{prefix}rest"] = self.first.clone(), self.rest.detach().clone()


def stretch_text(encoder: Encoder, *, kept: int = KEPT, factor: int = FACTOR) -> TextTransformer:
    """A copy of a trained text encoder that reads longer texts; texts of up to `kept` tokens give what they gave.

    Raises ConfigError for an encoder that has no learned table of positions, and says what it needs instead.
    """
    if not isinstance(encoder, TextTransformer):
        raise ConfigError(
            f"stretch: {type(encoder).__name__} is no TextTransformer; an encoder without positions (TextConvNet) and "
            "one with fixed sines take other sizes as they are, and need no stretch"
        )
    if not isinstance(encoder.positions, LearnedPositions):
        raise ConfigError(
            f"stretch: the positions are {type(encoder.positions).__name__}; only a learned table can be drawn out "
            "(fixed sines need no stretch: raise max_length)"
        )
    length = stretched_length(encoder.max_length, kept=kept, factor=factor)
    positions = StretchedPositions(length=length, width=encoder.width, kept=kept, factor=factor)
    positions.to(encoder.positions.table)
    positions.take(encoder.positions.table.detach())
    longer = copy.deepcopy(encoder)
    longer.positions, longer.max_length = positions, length
    return longer


def stretched_node(node: Mapping[str, Any], *, kept: int = KEPT, factor: int = FACTOR) -> dict[str, Any]:
    """The configuration node of what `stretch_text` returns, from that of its encoder; all of it must be given."""
    changed = copy.deepcopy(dict(node))
    given = changed["init_args"]
    missing = {"max_length", "width"} - set(given)
    if missing:
        raise ConfigError(f"stretch: the encoder's node leaves out {', '.join(sorted(missing))}; give them")
    given["max_length"] = stretched_length(given["max_length"], kept=kept, factor=factor)
    arguments = {"length": given["max_length"], "width": given["width"], "kept": kept, "factor": factor}
    given["positions"] = {"class_path": "core.encoders.StretchedPositions", "init_args": arguments}
    return changed
