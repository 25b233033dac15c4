"""Matrices of multilinear inner products, <x, y, z, ...> = sum_d x_d y_d z_d ... (Saporta et al. 2024, "Symile").

Shape legend: n = anchors, N = rows of each other modality, K = number of other modalities, m = N^K columns, E = width,
h, w = rows and columns of a tile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from core.objectives.contrast.matrix import Gradients, Matrix, computed_in, inner
from core.objectives.contrast.tiles import Tile


def product(factors: Sequence[Tensor]) -> Tensor:
    """Elementwise product, out of place: a factor that was overwritten could not be differentiated."""
    out = factors[0]
    for factor in factors[1:]:
        out = out * factor
    return out


class CartesianMatrix(Matrix):
    """S_ic = <a_i, y_j, z_k, ...> for every combination c = (j, k, ...), the last index running fastest. The products
    of a tile's columns are made with the tile; the m x E table never exists."""

    def __init__(self, rows_nE: Tensor, others: Sequence[Tensor]) -> None:
        self.rows_nE = computed_in(rows_nE).contiguous()
        self.others = tuple(computed_in(x_NE).contiguous() for x_NE in others)
        self.inputs = (self.rows_nE, *self.others)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows_nE), math.prod(len(x_NE) for x_NE in self.others)

    @torch.no_grad()
    def reach(self) -> Tensor:
        if 0 in self.shape:
            return self.rows_nE.new_zeros(())
        # |sum_d a_d y_d z_d| <= |a| |y| max_d |z_d|
        first, *more = self.others
        bound = self.rows_nE.norm(dim=1).max() * first.norm(dim=1).max()
        return product([bound, *(x_NE.abs().max() for x_NE in more)])

    def tile_(self, out_hw: Tensor, tile: Tile, factor: float) -> None:
        cols_wE = product(self.factors(tile))
        out_hw.addmm_(self.rows_nE[tile.rows], cols_wE.T, beta=0, alpha=factor)

    def factors(self, tile: Tile) -> list[Tensor]:
        """The rows of each other modality that the tile's columns combine, each (w, E)."""
        return [x_NE[index_w] for x_NE, index_w in zip(self.others, self.combination(tile), strict=True)]

    def combination(self, tile: Tile) -> list[Tensor]:
        """Which row of each other modality a column takes, each (w,)."""
        code_w = torch.arange(tile.cols.start, tile.cols.stop, device=self.like.device)
        digits = []
        for x_NE in reversed(self.others):
            digits.append(code_w % len(x_NE))
            code_w = code_w // len(x_NE)
        return digits[::-1]

    def gradients(self) -> Gradients:
        return _CartesianGradients(self)


class _CartesianGradients(Gradients):
    def __init__(self, matrix: CartesianMatrix) -> None:
        self.matrix = matrix
        # the rows' gradient also gives that of the scale, so it is made in any case
        self.d_rows = torch.zeros_like(matrix.rows_nE)
        self.d_others = [torch.zeros_like(x) if x.requires_grad else None for x in matrix.others]

    def add_(self, g_hw: Tensor, tile: Tile) -> None:
        factors, indices = self.matrix.factors(tile), self.matrix.combination(tile)
        self.d_rows[tile.rows].addmm_(g_hw, product(factors))
        d_product_wE = g_hw.T @ self.matrix.rows_nE[tile.rows]
        for k, (d_NE, index_w) in enumerate(zip(self.d_others, indices, strict=True)):
            if d_NE is not None:
                rest = [f for other, f in enumerate(factors) if other != k]
                d_NE.index_add_(0, index_w, product([d_product_wE, *rest]))

    def total(self) -> tuple[list[Tensor | None], Tensor]:
        rows_nE = self.matrix.rows_nE
        return [self.d_rows if rows_nE.requires_grad else None, *self.d_others], inner(rows_nE, self.d_rows)


class OverwrittenMatrix(Matrix):
    """Another matrix, but for one entry of each row: (i, column_i) is value_i."""

    def __init__(self, matrix: Matrix, value_n: Tensor, column_n: Tensor) -> None:
        self.matrix, self.value_n, self.column_n = matrix, computed_in(value_n), column_n
        self.inputs = (*matrix.inputs, self.value_n)

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    @torch.no_grad()
    def reach(self) -> Tensor:
        reach = self.matrix.reach()
        return torch.maximum(reach, self.value_n.abs().max()) if len(self.value_n) else reach

    def fitting(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.matrix.fitting(size)

    def tile_(self, out_hw: Tensor, tile: Tile, factor: float) -> None:
        self.matrix.tile_(out_hw, tile, factor)
        r, c = self.entries(tile)
        out_hw[r, c] = factor * self.value_n[tile.rows][r]

    def entries(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """The overwritten entries inside a tile."""
        column_h = self.column_n[tile.rows]
        (r,) = ((column_h >= tile.cols.start) & (column_h < tile.cols.stop)).nonzero(as_tuple=True)
        return r, column_h[r] - tile.cols.start

    def gradients(self) -> Gradients:
        return _OverwrittenGradients(self)


class _OverwrittenGradients(Gradients):
    def __init__(self, matrix: OverwrittenMatrix) -> None:
        self.matrix, self.sums = matrix, matrix.matrix.gradients()
        self.d_value_n = torch.zeros_like(matrix.value_n)

    def add_(self, g_hw: Tensor, tile: Tile) -> None:
        r, c = self.matrix.entries(tile)
        self.d_value_n[tile.rows.start + r] += g_hw[r, c]
        g_hw[r, c] = 0
        self.sums.add_(g_hw, tile)

    def total(self) -> tuple[list[Tensor | None], Tensor]:
        grads, product_sum = self.sums.total()
        wanted = self.d_value_n if self.matrix.value_n.requires_grad else None
        return [*grads, wanted], product_sum + (self.d_value_n * self.matrix.value_n).sum()
