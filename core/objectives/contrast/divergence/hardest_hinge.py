"""Ranking against the hardest negative only.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits (similarities when the scale is 1),
u (n,) and v (m,) weights of the row and column terms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.targets import Weights
from core.objectives.contrast.tiles import Tile


class HardestHinge(Divergence):
    """Per row: max(0, margin + max over negatives j of Z_ij - Z_i+), Z_i+ the target's mean of the row's logits (VSE++,
    Faghri et al. 2018). Only the hardest negative gets gradient; of equal ones, the first.

    For cosines as they are: `scale: FixedScale(temperature=1)`. The paper sums over rows: give the term the weight B.
    A row without any negative counts 0.
    """

    def __init__(self, *, margin: float = 0.2) -> None:
        super().__init__()
        if margin < 0:
            raise ConfigError(f"HardestHinge: margin is {margin}; give a value >= 0, for instance 0.2")
        self.margin = margin

    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> RunningHardestHinge:
        return RunningHardestHinge(weights, u_n, v_m, self.margin)


class RunningHardestHinge(Running):
    def __init__(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, margin: float) -> None:
        super().__init__(weights)
        self.u_n, self.v_m, self.margin = u_n, v_m, margin
        totals = weights.row_total_n, weights.col_total_m
        self.row_positive_n, self.col_positive_m = (torch.zeros_like(t) for t in totals)
        self.row_hardest_n, self.col_hardest_m = (torch.full_like(t, torch.finfo(t.dtype).min) for t in totals)
        self.row_at_n, self.col_at_m = (torch.full_like(t, -1, dtype=torch.int64) for t in totals)

    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        self.watch(z_hw, tile, block)
        self.row_positive_n[tile.rows] += block.row_dot(z_hw)
        self.col_positive_m[tile.cols] += block.col_dot(z_hw)
        z_hw[block.positives] = torch.finfo(z_hw.dtype).min
        _harder_(self.row_hardest_n[tile.rows], self.row_at_n[tile.rows], z_hw.max(dim=1), tile.cols.start or 0)
        _harder_(self.col_hardest_m[tile.cols], self.col_at_m[tile.cols], z_hw.max(dim=0), tile.rows.start or 0)

    def value(self) -> Tensor:
        total = torch.zeros_like(self.positive_sum)
        for weight, lack in zip((self.u_n, self.v_m), self._lacks(), strict=True):
            if weight is not None:
                total = total + (weight.to(total.dtype) * lack).sum()
        return total

    def _lacks(self) -> tuple[Tensor, Tensor]:
        """What each row and each column lacks to the margin, at least 0."""
        return (
            (self.row_hardest_n + self.margin - self.row_positive_n).clamp_min(0),
            (self.col_hardest_m + self.margin - self.col_positive_m).clamp_min(0),
        )

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        grad_hw = torch.zeros_like(z_hw)
        row_lack_n, col_lack_m = self._lacks()
        if self.u_n is not None:
            u_h = self.u_n[tile.rows] * (row_lack_n[tile.rows] > 0)
            here_h, at_h = _inside(self.row_at_n[tile.rows], tile.cols, z_hw.shape[1])
            grad_hw[here_h, at_h] += u_h[here_h]
            block.subtract_row_(grad_hw, u_h)
        if self.v_m is not None:
            v_w = self.v_m[tile.cols] * (col_lack_m[tile.cols] > 0)
            here_w, at_w = _inside(self.col_at_m[tile.cols], tile.rows, z_hw.shape[0])
            grad_hw[at_w, here_w] += v_w[here_w]
            block.subtract_col_(grad_hw, v_w)
        z_hw.copy_(grad_hw)


def _harder_(hardest: Tensor, at: Tensor, found: tuple[Tensor, Tensor], start: int) -> None:
    """Keep the larger of two maxima, and where it is; the earlier one when they are equal."""
    value, index = found
    better = value > hardest
    hardest[better] = value[better]
    at[better] = index[better] + start


def _inside(at: Tensor, span: slice, size: int) -> tuple[Tensor, Tensor]:
    """Which of these positions lie in a tile, and where in it."""
    local = at - (span.start or 0)
    here = ((at >= 0) & (local >= 0) & (local < size)).nonzero(as_tuple=True)[0]
    return here, local[here]
