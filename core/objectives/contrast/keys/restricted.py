"""A target seen through a list of admitted columns per row: the others count in no denominator.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.objectives.contrast.targets import Block, Weights
from core.objectives.contrast.tiles import Tile, tiles

TILE = (1024, 2048)  # of the pass that sums the admitted weights
Admits = Callable[[Tile], Tensor]  # (h, w) bool


class RestrictedWeights(Weights):
    """`inner` on admitted entries, each row of W scaled back to its total; 0 on the others. Rows only: W' is 0."""

    def __init__(self, inner: Weights, admits: Admits) -> None:
        self.inner, self.admits = inner, admits
        n, m = len(inner.row_total_n), len(inner.col_total_m)
        admitted_n = torch.zeros_like(inner.row_total_n)
        for tile in tiles(n, m, TILE):
            block = inner.block(tile)
            admitted_n[tile.rows] += (block.dense()[0] * self.open(tile, block)).sum(1)
        self.factor_n = torch.where(admitted_n > 0, inner.row_total_n / admitted_n, 0.0)
        self.row_total_n = torch.where(admitted_n > 0, inner.row_total_n, 0.0)
        self.col_total_m = torch.zeros_like(inner.col_total_m)

    def open(self, tile: Tile, block: Block) -> Tensor:
        """(h, w) bool: admitted, and not excluded by the target itself, whose block this is."""
        open_hw = self.admits(tile)
        if block.excluded is not None:
            open_hw[block.excluded] = False
        return open_hw

    def block(self, tile: Tile) -> RestrictedBlock:
        return RestrictedBlock(self, tile)


class RestrictedBlock(Block):
    def __init__(self, weights: RestrictedWeights, tile: Tile) -> None:
        inner = weights.inner.block(tile)
        open_hw = weights.open(tile, inner)
        r, c = inner.positives
        kept = open_hw[r, c]
        self.positives = r[kept], c[kept]
        closed = (~open_hw).nonzero(as_tuple=True)
        self.excluded = closed[0], closed[1]
        self.w_hw = inner.dense()[0] * open_hw * weights.factor_n[tile.rows, None]

    def row_dot(self, z_hw: Tensor) -> Tensor:
        return (self.w_hw * z_hw).sum(1)

    def col_dot(self, z_hw: Tensor) -> Tensor:
        return torch.zeros_like(z_hw[0])

    def subtract_row_(self, g_hw: Tensor, u_h: Tensor) -> None:
        g_hw.addcmul_(self.w_hw, u_h[:, None].to(g_hw.dtype), value=-1)

    def subtract_col_(self, g_hw: Tensor, v_w: Tensor) -> None:
        pass

    def dense(self) -> tuple[Tensor, Tensor]:
        return self.w_hw, torch.zeros_like(self.w_hw)
