"""Similarity matrices that are made one tile at a time and never exist whole, with their gradients.

Shape legend: n = rows, m = columns (keys), D = width, h, w = rows and columns of one tile. S (n, m) similarities,
G = dL/dS.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.objectives.contrast.tiles import Tile, tiles


class Gradients(ABC):
    """dL/d(inputs) of a matrix, gathered tile by tile."""

    @abstractmethod
    def add_(self, g_hw: Tensor, tile: Tile) -> None:
        """Add what the tile G says. The tile may be overwritten."""

    @abstractmethod
    def total(self) -> tuple[list[Tensor | None], Tensor]:
        """(gradient of each of `Matrix.inputs`, sum of G * S), once every tile was added."""


class Matrix(ABC):
    """`inputs`: the tensors that similarities are made of, in the precision they are computed in."""

    inputs: tuple[Tensor, ...]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]: ...

    @abstractmethod
    def reach(self) -> Tensor:
        """0-d: no |S_ij| is larger."""

    def fitting(self, size: tuple[int, int]) -> tuple[int, int]:
        """The largest tile, up to `size`, that the matrix can work with inside its own budget of memory."""
        return size

    @abstractmethod
    def tile_(self, out_hw: Tensor, tile: Tile, factor: float) -> None:
        """Write factor * S into `out`."""

    @abstractmethod
    def gradients(self) -> Gradients:
        """An empty sum; inputs without `requires_grad` need no product."""

    def tiles(self, size: tuple[int, int]) -> Iterator[Tile]:
        """The rectangles in the order in which they can be made; always walked to the end."""
        yield from tiles(*self.shape, size)

    @property
    def like(self) -> Tensor:
        """A tensor of the device and precision of the logits."""
        return self.inputs[0]


class DotMatrix(Matrix):
    """S_ij = rows_i . keys_j."""

    def __init__(self, rows_nD: Tensor, keys_mD: Tensor) -> None:
        self.rows_nD, self.keys_mD = computed_in(rows_nD).contiguous(), computed_in(keys_mD).contiguous()
        self.inputs = (self.rows_nD, self.keys_mD)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows_nD), len(self.keys_mD)

    @torch.no_grad()
    def reach(self) -> Tensor:
        if 0 in self.shape:
            return self.rows_nD.new_zeros(())
        return self.rows_nD.norm(dim=1).max() * self.keys_mD.norm(dim=1).max()

    def tile_(self, out_hw: Tensor, tile: Tile, factor: float) -> None:
        out_hw.addmm_(self.rows_nD[tile.rows], self.keys_mD[tile.cols].T, beta=0, alpha=factor)

    def gradients(self) -> Gradients:
        return _DotGradients(self)


class _DotGradients(Gradients):
    def __init__(self, matrix: DotMatrix) -> None:
        self.matrix = matrix
        rows, keys = matrix.inputs
        # with neither wanted only the scale is learned: one product is enough for it
        self.d_rows = torch.zeros_like(rows) if rows.requires_grad or not keys.requires_grad else None
        self.d_keys = torch.zeros_like(keys) if keys.requires_grad else None

    def add_(self, g_hw: Tensor, tile: Tile) -> None:
        if self.d_rows is not None:
            self.d_rows[tile.rows].addmm_(g_hw, self.matrix.keys_mD[tile.cols])
        if self.d_keys is not None:
            self.d_keys[tile.cols].addmm_(g_hw.T, self.matrix.rows_nD[tile.rows])

    def total(self) -> tuple[list[Tensor | None], Tensor]:
        rows, keys = self.matrix.inputs
        # sum_ij G_ij S_ij = sum_i a_i . (sum_j G_ij k_j): the scale's gradient costs no further pass
        x, d = (rows, self.d_rows) if self.d_rows is not None else (keys, self.d_keys)
        assert d is not None
        return [self.d_rows, self.d_keys], inner(x, d)


def dense(matrix: Matrix) -> Tensor:
    """The whole (n, m) matrix, with gradient to its inputs: for small ones, references and evaluation."""
    return _Dense.apply(matrix, *matrix.inputs)


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Matrix, *inputs: Tensor) -> Tensor:
        ctx.matrix = matrix
        out_nm = matrix.like.new_empty(matrix.shape)
        with torch.autocast(out_nm.device.type, enabled=False):
            matrix.tile_(out_nm, _whole(matrix), 1.0)
        return out_nm

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nm: Tensor) -> tuple[Tensor | None, ...]:
        sums = ctx.matrix.gradients()
        with torch.autocast(grad_nm.device.type, enabled=False):
            sums.add_(grad_nm.clone(), _whole(ctx.matrix))
        return None, *sums.total()[0]


def _whole(matrix: Matrix) -> Tile:
    n, m = matrix.shape
    return Tile(slice(0, n), slice(0, m))


def inner(x: Tensor, d: Tensor, chunk: int = 4096) -> Tensor:
    """Sum of x * d without a third tensor of that size."""
    total = x.new_zeros(())
    for i in range(0, len(x), chunk):
        total += (x[i : i + chunk] * d[i : i + chunk]).sum()
    return total


def computed_in(x: Tensor) -> Tensor:
    """Half precision is computed in float32; float64 stays float64."""
    return x if x.dtype == torch.float64 else x.float()
