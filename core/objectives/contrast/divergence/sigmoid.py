"""Each entry a yes-or-no question of its own: no normaliser, one pass.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits, W and W' labels of the two
directions, u (n,) and v (m,) weights of the row and column terms.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.targets import Weights
from core.objectives.contrast.tiles import Tile


class Sigmoid(Divergence):
    """L = sum_i u_i sum_j [softplus(Z_ij) - W_ij Z_ij] + the like of columns, W in [0, 1] (SigLIP, Zhai et al. 2023;
    with soft labels the binary cross entropy). With u = 1/n: the sum over all pairs divided by n, not their mean.

    Labels are the target as it is: `OneHot`, or `EachEqual` where several columns are positive (the weights of
    `Equality` sum to 1 over them). Both directions hold the same terms, so [1, 0], [0.5, 0.5] are one loss. Needs a
    scale with a bias: `LogScale(init=10, bias=-10)`, and `bias_batch=rows` instead of the bias for small batches.
    """

    every_row = True

    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> RunningSigmoid:
        return RunningSigmoid(weights, u_n, v_m)


class RunningSigmoid(Running):
    def __init__(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None) -> None:
        super().__init__(weights)
        self.u_n, self.v_m = u_n, v_m
        self.total = torch.zeros_like(self.positive_sum)

    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        row_h = None if self.u_n is None else -block.row_dot(z_hw)
        col_w = None if self.v_m is None else -block.col_dot(z_hw)
        block.exclude_(z_hw)
        self.watch(z_hw, tile, block)
        plus_hw = softplus(z_hw)
        acc = self.total.dtype
        if self.u_n is not None and row_h is not None:
            self.total += (self.u_n[tile.rows].to(acc) * (row_h.to(acc) + plus_hw.sum(1))).sum()
        if self.v_m is not None and col_w is not None:
            self.total += (self.v_m[tile.cols].to(acc) * (col_w.to(acc) + plus_hw.sum(0))).sum()

    def value(self) -> Tensor:
        return self.total

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        z_hw.sigmoid_()
        z_hw.mul_(pair_weight(z_hw, self.u_n, self.v_m, tile))
        if self.u_n is not None:
            block.subtract_row_(z_hw, self.u_n[tile.rows])
        if self.v_m is not None:
            block.subtract_col_(z_hw, self.v_m[tile.cols])


def softplus(z: Tensor) -> Tensor:
    """ln(1 + e^z), exact to the precision of z: the usual switch to z at 20 is an error of 2e-9 in float64."""
    return F.softplus(z, threshold=60.0)


def pair_weight(like: Tensor, u_n: Tensor | None, v_m: Tensor | None, tile: Tile) -> Tensor:
    """u_i + v_j of a tile, of a shape that broadcasts to it."""
    weight = like.new_zeros(1, 1)
    if u_n is not None:
        weight = weight + u_n[tile.rows, None]
    return weight if v_m is None else weight + v_m[None, tile.cols]
