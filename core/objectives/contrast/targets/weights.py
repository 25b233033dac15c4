"""What a divergence may ask of a target, tile by tile, and the two plain answers: a few positives, or a sum of targets.

Shape legend: n = rows, m = columns (keys), h, w = rows and columns of one tile. W (n, m) are the weights of the row
direction (each row tells what it wants of the columns), W' (n, m) those of the column direction.
No target stores an (n, m) matrix; `Block.dense` makes one tile of it for divergences that need every entry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.objectives.contrast.tiles import Tile

Pairs = tuple[Tensor, Tensor]  # (rows, columns) of entries inside a tile
Finder = Callable[[Tile], Pairs]


class Block(ABC):
    """Weights of one tile.

    positives: entries that belong together, each once: what accuracy and margins go by. excluded: entries that count
    nowhere, or None.
    """

    positives: Pairs
    excluded: Pairs | None

    @abstractmethod
    def row_dot(self, z_hw: Tensor) -> Tensor:
        """(h,) sums of W * z over the columns of the tile."""

    @abstractmethod
    def col_dot(self, z_hw: Tensor) -> Tensor:
        """(w,) sums of W' * z over the rows of the tile."""

    @abstractmethod
    def subtract_row_(self, g_hw: Tensor, u_h: Tensor) -> None:
        """g -= u_i W_ij."""

    @abstractmethod
    def subtract_col_(self, g_hw: Tensor, v_w: Tensor) -> None:
        """g -= v_j W'_ij."""

    @abstractmethod
    def dense(self) -> tuple[Tensor, Tensor]:
        """(W, W') of the tile. Read only: the two may be one tensor."""

    def exclude_(self, z_hw: Tensor) -> None:
        """Give excluded entries the lowest finite logit, so that a wholly excluded tile stays free of NaN."""
        if self.excluded is not None:
            z_hw[self.excluded] = torch.finfo(z_hw.dtype).min


class Weights(ABC):
    """The target of one batch. row_total: (n,) sums of W over columns. col_total: (m,) sums of W' over rows; 0 marks
    a row or column without a positive, which the loss leaves out."""

    row_total_n: Tensor
    col_total_m: Tensor

    @abstractmethod
    def block(self, tile: Tile) -> Block: ...


@dataclass(slots=True)
class SparseBlock(Block):
    """W = [positive] * on_row + uniform_row, W' = [positive] * on_col + uniform_col; None is no uniform part."""

    positives: Pairs
    excluded: Pairs | None
    on_row_h: Tensor
    on_col_w: Tensor
    uniform_row_h: Tensor | None
    uniform_col_w: Tensor | None

    def row_dot(self, z_hw: Tensor) -> Tensor:
        r, c = self.positives
        out_h = torch.zeros_like(self.on_row_h).index_add_(0, r, self.on_row_h[r] * z_hw[r, c])
        return out_h if self.uniform_row_h is None else out_h + self.uniform_row_h * z_hw.sum(1)

    def col_dot(self, z_hw: Tensor) -> Tensor:
        r, c = self.positives
        out_w = torch.zeros_like(self.on_col_w).index_add_(0, c, self.on_col_w[c] * z_hw[r, c])
        return out_w if self.uniform_col_w is None else out_w + self.uniform_col_w * z_hw.sum(0)

    def subtract_row_(self, g_hw: Tensor, u_h: Tensor) -> None:
        r, c = self.positives
        g_hw[r, c] -= u_h[r] * self.on_row_h[r]
        if self.uniform_row_h is not None:
            g_hw.sub_((self.uniform_row_h * u_h)[:, None])

    def subtract_col_(self, g_hw: Tensor, v_w: Tensor) -> None:
        r, c = self.positives
        g_hw[r, c] -= v_w[c] * self.on_col_w[c]
        if self.uniform_col_w is not None:
            g_hw.sub_((self.uniform_col_w * v_w)[None, :])

    def dense(self) -> tuple[Tensor, Tensor]:
        shape = (len(self.on_row_h), len(self.on_col_w))
        on_hw = self.on_row_h.new_zeros(shape)
        on_hw[self.positives] = 1
        row_hw, col_hw = on_hw * self.on_row_h[:, None], on_hw * self.on_col_w[None, :]
        if self.uniform_row_h is not None:
            row_hw += self.uniform_row_h[:, None]
        if self.uniform_col_w is not None:
            col_hw += self.uniform_col_w[None, :]
        return row_hw, col_hw


@dataclass(slots=True)
class SparseWeights(Weights):
    """A few positives per row, each of the row's weight `on_row`, over a uniform floor. See `SparseBlock`."""

    positives: Finder
    excluded: Finder | None
    on_row_n: Tensor
    on_col_m: Tensor
    row_total_n: Tensor
    col_total_m: Tensor
    uniform_row_n: Tensor | None = None
    uniform_col_m: Tensor | None = None

    def block(self, tile: Tile) -> SparseBlock:
        return SparseBlock(
            self.positives(tile),
            None if self.excluded is None else self.excluded(tile),
            self.on_row_n[tile.rows],
            self.on_col_m[tile.cols],
            None if self.uniform_row_n is None else self.uniform_row_n[tile.rows],
            None if self.uniform_col_m is None else self.uniform_col_m[tile.cols],
        )


@dataclass(slots=True)
class Part:
    """A target inside a sum. row_factor: (n,) factor of each row of W, col_factor: (m,) of each column of W'."""

    weights: Weights
    row_factor_n: Tensor
    col_factor_m: Tensor


class SummedWeights(Weights):
    """Sum of targets; positives and exclusions are those of the last part."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        self.row_total_n = torch.stack([p.row_factor_n * p.weights.row_total_n for p in parts]).sum(0)
        self.col_total_m = torch.stack([p.col_factor_m * p.weights.col_total_m for p in parts]).sum(0)

    def block(self, tile: Tile) -> SummedBlock:
        return SummedBlock(
            [(p.weights.block(tile), p.row_factor_n[tile.rows], p.col_factor_m[tile.cols]) for p in self.parts]
        )


class SummedBlock(Block):
    def __init__(self, parts: Sequence[tuple[Block, Tensor, Tensor]]) -> None:
        self.parts = list(parts)
        self.positives, self.excluded = self.parts[-1][0].positives, self.parts[-1][0].excluded

    def row_dot(self, z_hw: Tensor) -> Tensor:
        return torch.stack([f_h * block.row_dot(z_hw) for block, f_h, _ in self.parts]).sum(0)

    def col_dot(self, z_hw: Tensor) -> Tensor:
        return torch.stack([f_w * block.col_dot(z_hw) for block, _, f_w in self.parts]).sum(0)

    def subtract_row_(self, g_hw: Tensor, u_h: Tensor) -> None:
        for block, f_h, _ in self.parts:
            block.subtract_row_(g_hw, u_h * f_h)

    def subtract_col_(self, g_hw: Tensor, v_w: Tensor) -> None:
        for block, _, f_w in self.parts:
            block.subtract_col_(g_hw, v_w * f_w)

    def dense(self) -> tuple[Tensor, Tensor]:
        parts = [(block.dense(), f_h, f_w) for block, f_h, f_w in self.parts]
        row_hw = torch.stack([f_h[:, None] * both[0] for both, f_h, _ in parts]).sum(0)
        return row_hw, torch.stack([f_w[None, :] * both[1] for both, _, f_w in parts]).sum(0)
