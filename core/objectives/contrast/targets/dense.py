"""Targets in which every entry has a weight: made tile by tile from vectors that rows and columns carry along.

Shape legend: n = rows, m = columns (keys), h, w = rows and columns of one tile, E = width of the carried vectors.
W (n, m) are the weights of the row direction, W' (n, m) those of the column direction.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from core.objectives.contrast.matrix import DotMatrix
from core.objectives.contrast.normaliser import BoundedSums, Normaliser, RunningSums, safe_bound
from core.objectives.contrast.targets.weights import Block, Finder, Pairs, Weights
from core.objectives.contrast.tiles import Tile, tiles

TILE = (1024, 2048)  # of the pass over a teacher's logits that finds their log-sum-exp


class DenseWeights(Weights):
    """Weights that are functions of T = rows . columns, the similarities of carried vectors.

    positives: entries that accuracy and margins go by; they do not change W. excluded: entries that count nowhere.
    """

    def __init__(self, rows_nE: Tensor, cols_mE: Tensor, positives: Finder, excluded: Finder | None = None) -> None:
        self.matrix = DotMatrix(rows_nE, cols_mE)
        self.positives, self.excluded = positives, excluded

    @abstractmethod
    def of_rows(self, t_hw: Tensor, tile: Tile) -> Tensor:
        """W of a tile; T is left as it is."""

    @abstractmethod
    def of_cols(self, t_hw: Tensor, tile: Tile) -> Tensor:
        """W' of a tile; T is left as it is."""

    def block(self, tile: Tile) -> DenseBlock:
        return DenseBlock(self, tile)

    def similarities(self, tile: Tile, factor: float = 1.0) -> Tensor:
        """(h, w) factor * T."""
        out_hw = self.matrix.like.new_empty(tile.shape)
        self.matrix.tile_(out_hw, tile, factor)
        return out_hw


class DenseBlock(Block):
    def __init__(self, weights: DenseWeights, tile: Tile) -> None:
        self.weights, self.tile = weights, tile
        self.positives: Pairs = weights.positives(tile)
        self.excluded = None if weights.excluded is None else weights.excluded(tile)

    @cached_property
    def t_hw(self) -> Tensor:
        return self.weights.similarities(self.tile)

    @cached_property
    def row_hw(self) -> Tensor:
        return self._without(self.weights.of_rows(self.t_hw, self.tile))

    @cached_property
    def col_hw(self) -> Tensor:
        return self._without(self.weights.of_cols(self.t_hw, self.tile))

    def _without(self, w_hw: Tensor) -> Tensor:
        if self.excluded is not None:
            w_hw[self.excluded] = 0
        return w_hw

    def row_dot(self, z_hw: Tensor) -> Tensor:
        return (self.row_hw * z_hw).sum(1)

    def col_dot(self, z_hw: Tensor) -> Tensor:
        return (self.col_hw * z_hw).sum(0)

    def subtract_row_(self, g_hw: Tensor, u_h: Tensor) -> None:
        g_hw.addcmul_(self.row_hw, u_h[:, None].to(g_hw.dtype), value=-1)

    def subtract_col_(self, g_hw: Tensor, v_w: Tensor) -> None:
        g_hw.addcmul_(self.col_hw, v_w[None, :].to(g_hw.dtype), value=-1)

    def dense(self) -> tuple[Tensor, Tensor]:
        return self.row_hw, self.col_hw


class SoftmaxWeights(DenseWeights):
    """W = softmax over columns of scale * T, W' = softmax over rows: each direction normalised for itself, W' is not
    the transpose of W. The log-sum-exps take one pass over T when the weights are made."""

    def __init__(
        self, rows_nE: Tensor, cols_mE: Tensor, scale: float, positives: Finder, excluded: Finder | None = None
    ) -> None:
        super().__init__(rows_nE, cols_mE, positives, excluded)
        self.scale = scale
        n, m = self.matrix.shape
        like = self.matrix.like
        fits = excluded is None and float(scale * self.matrix.reach()) + 20 < safe_bound(like.dtype)
        kind: type[Normaliser] = BoundedSums if fits else RunningSums
        normaliser = kind(n, m, like, True, True)
        for tile in tiles(n, m, TILE):
            z_hw = self.similarities(tile, scale)
            if excluded is not None:
                z_hw[excluded(tile)] = torch.finfo(z_hw.dtype).min
            normaliser.observe(z_hw, tile)
        self.row_lse_n, self.col_lse_m = (lse.to(like.dtype) for lse in (normaliser.row_lse(), normaliser.col_lse()))
        self.row_total_n, self.col_total_m = like.new_ones(n), like.new_ones(m)

    def of_rows(self, t_hw: Tensor, tile: Tile) -> Tensor:
        return (self.scale * t_hw).sub_(self.row_lse_n[tile.rows, None]).exp_()

    def of_cols(self, t_hw: Tensor, tile: Tile) -> Tensor:
        return (self.scale * t_hw).sub_(self.col_lse_m[None, tile.cols]).exp_()


class ShareWeights(DenseWeights):
    """W_ij = (1 + T_ij) / 2 divided by the row's sum, W' by the column's: every column is positive in part. The sums
    follow from the sums of the vectors, without a pass."""

    def __init__(self, rows_nE: Tensor, cols_mE: Tensor, positives: Finder) -> None:
        super().__init__(rows_nE, cols_mE, positives)
        rows_nE, cols_mE = self.matrix.rows_nD, self.matrix.keys_mD
        (n, m), tiny = self.matrix.shape, torch.finfo(rows_nE.dtype).eps
        self.row_sum_n = ((m + rows_nE @ cols_mE.sum(0)) / 2).clamp_min(tiny)
        self.col_sum_m = ((n + cols_mE @ rows_nE.sum(0)) / 2).clamp_min(tiny)
        self.row_total_n, self.col_total_m = torch.ones_like(self.row_sum_n), torch.ones_like(self.col_sum_m)

    def of_rows(self, t_hw: Tensor, tile: Tile) -> Tensor:
        return (1 + t_hw).div_(2 * self.row_sum_n[tile.rows, None])

    def of_cols(self, t_hw: Tensor, tile: Tile) -> Tensor:
        return (1 + t_hw).div_(2 * self.col_sum_m[None, tile.cols])


class DotWeights(DenseWeights):
    """W_ij = W'_ij = factor * T_ij, as it is."""

    def __init__(self, rows_nE: Tensor, cols_mE: Tensor, factor: float, positives: Finder) -> None:
        super().__init__(rows_nE, cols_mE, positives)
        self.factor = factor
        rows_nE, cols_mE = self.matrix.rows_nD, self.matrix.keys_mD
        self.row_total_n, self.col_total_m = factor * rows_nE @ cols_mE.sum(0), factor * cols_mE @ rows_nE.sum(0)

    def of_rows(self, t_hw: Tensor, tile: Tile) -> Tensor:
        return self.factor * t_hw

    def of_cols(self, t_hw: Tensor, tile: Tile) -> Tensor:
        return self.factor * t_hw
