"""How far logits are from their target. A divergence says what it must know of the whole matrix before it can give
a gradient; the tiling itself lives in `kernel.py` and is the same for all.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits, W and W' target weights of the two
directions, P and P' softmax over columns and over rows, u (n,) and v (m,) weights of the row and column terms.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.objectives.contrast.normaliser import BoundedSums, Normaliser, RunningSums, accumulator_dtype, safe_bound
from core.objectives.contrast.targets import Block, Weights
from core.objectives.contrast.tiles import Tile


class Running(ABC):
    """A divergence at work on one matrix: every tile is observed, then the value is known, then every tile of logits
    can be turned into its gradient. Also measures, without gradient, each row's best positive and best negative."""

    def __init__(self, weights: Weights) -> None:
        like = weights.on_row_n
        self.weights = weights
        lowest = like.new_full((len(like),), torch.finfo(like.dtype).min)
        self.best_positive_n, self.best_negative_n = lowest, lowest.clone()
        self.positive_sum = torch.zeros((), dtype=accumulator_dtype(like.device), device=like.device)
        self.positive_count = 0

    @abstractmethod
    def observe(self, z_hw: Tensor, tile: Tile) -> None:
        """Collect what value and gradient need; may overwrite the tile."""

    @abstractmethod
    def value(self) -> Tensor:
        """The loss, 0-d, once every tile was observed."""

    @abstractmethod
    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        """Overwrite logits by dL/dZ. spare: scratch of the same shape."""

    def watch(self, z_hw: Tensor, tile: Tile, block: Block) -> None:
        """Update the best positives and negatives; the tile is left as it was."""
        r, c = block.positives
        positive = z_hw[r, c]
        self.positive_sum += positive.sum()
        self.positive_count += len(r)
        self.best_positive_n[tile.rows] = self.best_positive_n[tile.rows].scatter_reduce(0, r, positive, "amax")
        z_hw[r, c] = torch.finfo(z_hw.dtype).min
        best_h = self.best_negative_n[tile.rows]
        torch.maximum(best_h, z_hw.amax(1), out=best_h)
        z_hw[r, c] = positive

    def accuracy(self) -> Tensor:
        """Share of rows whose best positive beats every negative; a tie counts as a miss."""
        counted_n = self.weights.row_total_n > 0
        hit_n = (self.best_positive_n > self.best_negative_n) & counted_n
        return hit_n.sum() / counted_n.sum().clamp_min(1)

    def mean_positive(self) -> Tensor:
        """Mean logit of the positives."""
        return (self.positive_sum / max(self.positive_count, 1)).float()


class Divergence(nn.Module, ABC):
    @abstractmethod
    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> Running:
        """bound: no |logit| is larger. u, v: None where a direction is not wanted."""


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
        like = weights.on_row_n
        n, m = len(weights.on_row_n), len(weights.on_col_m)
        acc = accumulator_dtype(like.device)
        self.u_n, self.v_m = u_n, v_m
        fits = bound + math.log(max(n, m, 1)) < safe_bound(like.dtype)
        kind: type[Normaliser] = BoundedSums if fits else RunningSums
        self.normaliser = kind(n, m, like, u_n is not None, v_m is not None)
        self.row_dot_n = torch.zeros(n, dtype=acc, device=like.device)
        self.col_dot_m = torch.zeros(m, dtype=acc, device=like.device)

    def observe(self, z_hw: Tensor, tile: Tile) -> None:
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
