"""How far logits are from their target. A divergence says what it must know of the whole matrix before it can give
a gradient; the tiling itself lives in `kernel.py` and is the same for all.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits, W and W' target weights of the two
directions, u (n,) and v (m,) weights of the row and column terms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.objectives.contrast.normaliser import accumulator_dtype
from core.objectives.contrast.targets import Block, Weights
from core.objectives.contrast.tiles import Tile


class Running(ABC):
    """A divergence at work on one matrix: every tile is observed, then the value is known, then every tile of logits
    can be turned into its gradient. Also measures, without gradient, each row's best positive and best negative.

    prepares: every tile is shown to `prepare` before the first one is observed, at the price of one more product.
    """

    prepares: bool = False
    everywhere: bool = False  # what is counted has to be counted over all processes; set before the first tile

    def __init__(self, weights: Weights) -> None:
        like = weights.row_total_n
        self.weights = weights
        lowest = like.new_full((len(like),), torch.finfo(like.dtype).min)
        self.best_positive_n, self.best_negative_n = lowest, lowest.clone()
        self.positive_sum = torch.zeros((), dtype=accumulator_dtype(like.device), device=like.device)
        self.positive_count = 0

    def prepare(self, z_hw: Tensor, tile: Tile) -> None:
        """Collect what observing needs; only called when `prepares`."""
        raise NotImplementedError(f"{type(self).__name__} prepares, but does not say how")

    @abstractmethod
    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        """Collect what value and gradient need; may overwrite both. spare: scratch of the same shape."""

    @abstractmethod
    def value(self) -> Tensor:
        """The loss, 0-d, once every tile was observed."""

    @abstractmethod
    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        """Overwrite logits by dL/dZ. spare: scratch of the same shape."""

    def surprise(self) -> Tensor | None:
        """(n,) nats by which each row missed its best positive, whatever the target; None where there is no such
        figure."""
        return None

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
    """every_row: a row whose target is empty has a term too."""

    every_row: bool = False

    @abstractmethod
    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> Running:
        """bound: no |logit| is larger. u, v: None where a direction is not wanted."""
