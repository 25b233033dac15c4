"""Squares of the negatives against the positives themselves: no exponential, no normaliser.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits, W and W' target weights of the two
directions, u (n,) and v (m,) weights of the row and column terms.
"""

from __future__ import annotations

from torch import Tensor

from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.targets import Block, Weights
from core.objectives.contrast.tiles import Tile


class SpectralContrastive(Divergence):
    """L = sum_i u_i [mean_{j not positive} Z_ij^2 - 2 sum_j W_ij Z_ij] + the like of columns (HaoChen et al. 2021,
    equation 6). Its minimum factorises the graph of augmentations. Takes similarities as they are: `FixedScale(1)`.
    """

    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> RunningSpectral:
        return RunningSpectral(weights, u_n, v_m)


class RunningSpectral(Running):
    def __init__(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None) -> None:
        super().__init__(weights)
        self.u_n, self.v_m = u_n, v_m
        new = self.positive_sum.new_zeros
        n, m = len(weights.row_total_n), len(weights.col_total_m)
        self.row_dot_n, self.row_square_n, self.row_negatives_n = new(n), new(n), new(n)
        self.col_dot_m, self.col_square_m, self.col_negatives_m = new(m), new(m), new(m)

    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        self.row_dot_n[tile.rows] += block.row_dot(z_hw)
        self.col_dot_m[tile.cols] += block.col_dot(z_hw)
        negative_hw = negatives(block, spare_hw.fill_(1))
        self.row_negatives_n[tile.rows] += negative_hw.sum(1)
        self.col_negatives_m[tile.cols] += negative_hw.sum(0)
        square_hw = negative_hw.mul_(z_hw).mul_(z_hw)
        self.row_square_n[tile.rows] += square_hw.sum(1)
        self.col_square_m[tile.cols] += square_hw.sum(0)
        block.exclude_(z_hw)
        self.watch(z_hw, tile, block)

    def value(self) -> Tensor:
        loss = self.row_dot_n.new_zeros(())
        if self.u_n is not None:
            row_n = self.row_square_n / self.row_negatives_n.clamp_min(1) - 2 * self.row_dot_n
            loss = loss + (self.u_n * row_n).sum()
        if self.v_m is not None:
            col_m = self.col_square_m / self.col_negatives_m.clamp_min(1) - 2 * self.col_dot_m
            loss = loss + (self.v_m * col_m).sum()
        return loss

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        negatives(block, z_hw)
        factor_hw = spare_hw.zero_()
        if self.u_n is not None:
            factor_hw += (2 * self.u_n / self.row_negatives_n.clamp_min(1))[tile.rows, None]
        if self.v_m is not None:
            factor_hw += (2 * self.v_m / self.col_negatives_m.clamp_min(1))[None, tile.cols]
        z_hw.mul_(factor_hw)
        if self.u_n is not None:
            block.subtract_row_(z_hw, 2 * self.u_n[tile.rows])
        if self.v_m is not None:
            block.subtract_col_(z_hw, 2 * self.v_m[tile.cols])


def negatives(block: Block, x_hw: Tensor) -> Tensor:
    """x with 0 where an entry is a positive, or counts nowhere; in place."""
    x_hw[block.positives] = 0
    if block.excluded is not None:
        x_hw[block.excluded] = 0
    return x_hw
