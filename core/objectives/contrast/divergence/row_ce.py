"""Cross entropy of a softmax over columns, over rows, or both.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits, W and W' target weights of the two
directions, P and P' softmax over columns and over rows, u (n,) and v (m,) weights of the row and column terms.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.normaliser import BoundedSums, Normaliser, RunningSums, accumulator_dtype, safe_bound
from core.objectives.contrast.targets import Weights
from core.objectives.contrast.tiles import Tile


class RowCE(Divergence):
    """Cross entropy of rows over columns, of columns over rows, or both:
    L = sum_i u_i [r_i lse_i - sum_j W_ij Z_ij] + sum_j v_j [c_j lse'_j - sum_i W'_ij Z_ij], r and c the sums of W, W'.
    With one-hot W, u = v = 1/2n this is the symmetric InfoNCE of CLIP. dL/dZ = u r P + v c P' - u W - v W'.
    """

    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> RunningCE:
        return RunningCE(weights, u_n, v_m, bound)


class RunningCE(Running):
    def __init__(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> None:
        super().__init__(weights)
        like = weights.row_total_n
        n, m = len(weights.row_total_n), len(weights.col_total_m)
        acc = accumulator_dtype(like.device)
        self.u_n, self.v_m = u_n, v_m
        fits = bound + math.log(max(n, m, 1)) < safe_bound(like.dtype)
        kind: type[Normaliser] = BoundedSums if fits else RunningSums
        self.normaliser = kind(n, m, like, u_n is not None, v_m is not None)
        self.row_dot_n = torch.zeros(n, dtype=acc, device=like.device)
        self.col_dot_m = torch.zeros(m, dtype=acc, device=like.device)

    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        if self.u_n is not None:
            self.row_dot_n[tile.rows] += block.row_dot(z_hw)
        if self.v_m is not None:
            self.col_dot_m[tile.cols] += block.col_dot(z_hw)
        block.exclude_(z_hw)
        self.watch(z_hw, tile, block)
        self.normaliser.observe(z_hw, tile)

    def value(self) -> Tensor:
        loss = self.row_dot_n.new_zeros(())
        if self.u_n is not None:
            row_n = self.weights.row_total_n * self.normaliser.row_lse() - self.row_dot_n
            loss = loss + (self.u_n * row_n).sum()
        if self.v_m is not None:
            col_m = self.weights.col_total_m * self.normaliser.col_lse() - self.col_dot_m
            loss = loss + (self.v_m * col_m).sum()
        return loss

    def surprise(self) -> Tensor | None:
        """The mean of both directions where both are known of every item, that is in a square matrix."""
        if self.u_n is None:
            return None
        lse_n = self.normaliser.row_lse()
        if self.v_m is not None and len(self.v_m) == len(self.u_n):
            lse_n = 0.5 * (lse_n + self.normaliser.col_lse())
        return lse_n - self.best_positive_n

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        u_h = None if self.u_n is None else self.u_n[tile.rows]
        v_w = None if self.v_m is None else self.v_m[tile.cols]
        ur_h = None if u_h is None else u_h * self.weights.row_total_n[tile.rows]
        vc_w = None if v_w is None else v_w * self.weights.col_total_m[tile.cols]
        self.normaliser.weigh_(z_hw, spare_hw, tile, ur_h, vc_w)
        if u_h is not None:
            block.subtract_row_(z_hw, u_h)
        if v_w is not None:
            block.subtract_col_(z_hw, v_w)
