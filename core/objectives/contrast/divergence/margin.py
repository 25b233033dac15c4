"""Losses that stop once a pair is apart far enough.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits (similarities when the scale is 1),
W and W' target weights, u (n,) and v (m,) weights of the row and column terms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.divergence.sigmoid import pair_weight
from core.objectives.contrast.targets import Block, Weights
from core.objectives.contrast.tiles import Tile


class Margin(Divergence):
    """Per anchor: sum over positives of (1 - s) plus sum over negatives above `margin` of s; mean over anchors (the
    contrastive loss of XBM, Wang et al. 2020). For cosines as they are: `scale: FixedScale(temperature=1)`.

    Positives with s >= `same` count as the anchor itself, met again in a memory, and are dropped.
    """

    every_row = True

    def __init__(self, *, margin: float = 0.5, same: float | None = 1 - 1e-5) -> None:
        """same: None keeps every positive. Raises ConfigError for a margin outside [-1, 1)."""
        super().__init__()
        if not -1 <= margin < 1:
            raise ConfigError(f"Margin: margin is {margin}; a cosine is compared with it, give a value in [-1, 1)")
        self.margin, self.same = margin, same

    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> RunningMargin:
        return RunningMargin(weights, u_n, v_m, self.margin, self.same)


class RunningMargin(Running):
    def __init__(
        self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, margin: float, same: float | None
    ) -> None:
        super().__init__(weights)
        self.u_n, self.v_m, self.margin, self.same = u_n, v_m, margin, same
        self.total = torch.zeros_like(self.positive_sum)

    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        self.watch(z_hw, tile, block)
        positive = z_hw[block.positives]
        z_hw.mul_(z_hw > self.margin)
        z_hw[block.positives] = (1 - positive) * self._kept(positive)
        if self.u_n is not None:
            self.total += (self.u_n[tile.rows].to(self.total.dtype) * z_hw.sum(1)).sum()
        if self.v_m is not None:
            self.total += (self.v_m[tile.cols].to(self.total.dtype) * z_hw.sum(0)).sum()

    def _kept(self, positive: Tensor) -> Tensor:
        return torch.ones_like(positive) if self.same is None else (positive < self.same).to(positive.dtype)

    def value(self) -> Tensor:
        return self.total

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        kept = self._kept(z_hw[block.positives])
        torch.gt(z_hw, self.margin, out=spare_hw)
        spare_hw[block.positives] = -kept
        torch.mul(spare_hw, pair_weight(z_hw, self.u_n, self.v_m, tile), out=z_hw)


class Hinge(Divergence):
    """Per row: sum over negatives j of max(0, margin + Z_ij - Z_i+), Z_i+ the target's mean of the row's logits (the
    ranking loss of Kiros et al. 2014). Takes targets that are distributions. Sees every tile once more than others.
    """

    def __init__(self, *, margin: float = 0.2) -> None:
        super().__init__()
        if margin < 0:
            raise ConfigError(f"Hinge: margin is {margin}; give a value >= 0, for instance 0.2")
        self.margin = margin

    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> RunningHinge:
        return RunningHinge(weights, u_n, v_m, self.margin)


class RunningHinge(Running):
    prepares = True

    def __init__(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, margin: float) -> None:
        super().__init__(weights)
        self.u_n, self.v_m, self.margin = u_n, v_m, margin
        self.row_positive_n, self.col_positive_m = (
            torch.zeros_like(t) for t in (weights.row_total_n, weights.col_total_m)
        )
        self.row_active_n, self.col_active_m = (torch.zeros_like(t) for t in (weights.row_total_n, weights.col_total_m))
        self.total = torch.zeros_like(self.positive_sum)

    def prepare(self, z_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        self.row_positive_n[tile.rows] += block.row_dot(z_hw)
        self.col_positive_m[tile.cols] += block.col_dot(z_hw)

    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        self.watch(z_hw, tile, block)
        if self.u_n is not None:
            over_hw = self._over(z_hw, block, self.row_positive_n[tile.rows, None], spare_hw)
            self.total += (self.u_n[tile.rows].to(self.total.dtype) * over_hw.sum(1)).sum()
            self.row_active_n[tile.rows] += (over_hw > 0).sum(1)
        if self.v_m is not None:
            over_hw = self._over(z_hw, block, self.col_positive_m[None, tile.cols], spare_hw)
            self.total += (self.v_m[tile.cols].to(self.total.dtype) * over_hw.sum(0)).sum()
            self.col_active_m[tile.cols] += (over_hw > 0).sum(0)

    def _over(self, z_hw: Tensor, block: Block, positive: Tensor, out_hw: Tensor) -> Tensor:
        """max(0, margin + Z - positive) on negatives, 0 elsewhere."""
        torch.sub(z_hw, positive - self.margin, out=out_hw).clamp_min_(0)
        out_hw[block.positives] = 0
        return out_hw

    def value(self) -> Tensor:
        return self.total

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        grad_hw = torch.zeros_like(z_hw)
        if self.u_n is not None:
            u_h = self.u_n[tile.rows]
            grad_hw += (self._over(z_hw, block, self.row_positive_n[tile.rows, None], spare_hw) > 0) * u_h[:, None]
            block.subtract_row_(grad_hw, u_h * self.row_active_n[tile.rows])
        if self.v_m is not None:
            v_w = self.v_m[tile.cols]
            grad_hw += (self._over(z_hw, block, self.col_positive_m[None, tile.cols], spare_hw) > 0) * v_w[None, :]
            block.subtract_col_(grad_hw, v_w * self.col_active_m[tile.cols])
        z_hw.copy_(grad_hw)
