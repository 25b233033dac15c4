"""Which pairs belong together: target weights as functions of row and column ids, made tile by tile.

Shape legend: n = rows, m = columns (keys), h, w = rows and columns of one tile. W (n, m) are the weights of the row
direction (each row a distribution over columns), W' (n, m) those of the column direction.
No target stores an (n, m) matrix; `Block.dense` exists for reference and for divergences that need every entry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.contrast.tiles import Tile


class Ids(NamedTuple):
    """Identities of one side. item: (n,) int64, equal = the very same row of the global batch. content: (n,) int64,
    equal = interchangeable content (the same text, the same subject)."""

    item: Tensor
    content: Tensor


Pairs = tuple[Tensor, Tensor]  # (rows, columns) of entries inside a tile
Finder = Callable[[Tile], Pairs]


@dataclass(slots=True)
class Block:
    """Weights of one tile: W = [positive] * on_row + uniform_row, W' = [positive] * on_col + uniform_col.

    positives: entries, each once. excluded: entries that count in no denominator, or None.
    """

    positives: Pairs
    excluded: Pairs | None
    on_row_h: Tensor
    on_col_w: Tensor
    uniform_row: float
    uniform_col: float

    def row_dot(self, z_hw: Tensor) -> Tensor:
        """(h,) sums of W * z over the columns of the tile."""
        r, c = self.positives
        out_h = torch.zeros_like(self.on_row_h).index_add_(0, r, self.on_row_h[r] * z_hw[r, c])
        return out_h if self.uniform_row == 0 else out_h + self.uniform_row * z_hw.sum(1)

    def col_dot(self, z_hw: Tensor) -> Tensor:
        """(w,) sums of W' * z over the rows of the tile."""
        r, c = self.positives
        out_w = torch.zeros_like(self.on_col_w).index_add_(0, c, self.on_col_w[c] * z_hw[r, c])
        return out_w if self.uniform_col == 0 else out_w + self.uniform_col * z_hw.sum(0)

    def subtract_row_(self, g_hw: Tensor, u_h: Tensor) -> None:
        """g -= u_i W_ij."""
        r, c = self.positives
        g_hw[r, c] -= u_h[r] * self.on_row_h[r]
        if self.uniform_row != 0:
            g_hw.sub_((self.uniform_row * u_h)[:, None])

    def subtract_col_(self, g_hw: Tensor, v_w: Tensor) -> None:
        """g -= v_j W'_ij."""
        r, c = self.positives
        g_hw[r, c] -= v_w[c] * self.on_col_w[c]
        if self.uniform_col != 0:
            g_hw.sub_((self.uniform_col * v_w)[None, :])

    def exclude_(self, z_hw: Tensor) -> None:
        """Give excluded entries the lowest finite logit, so that a wholly excluded tile stays free of NaN."""
        if self.excluded is not None:
            z_hw[self.excluded] = torch.finfo(z_hw.dtype).min

    def dense(self) -> tuple[Tensor, Tensor]:
        """(W, W') of the tile."""
        shape = (len(self.on_row_h), len(self.on_col_w))
        on_hw = self.on_row_h.new_zeros(shape)
        on_hw[self.positives] = 1
        return (
            on_hw * self.on_row_h[:, None] + self.uniform_row,
            on_hw * self.on_col_w[None, :] + self.uniform_col,
        )


@dataclass(slots=True)
class Weights:
    """The target of one batch. row_total: (n,) sums of W over columns. col_total: (m,) sums of W' over rows; 0 marks
    a row or column without a positive, which the loss leaves out."""

    positives: Finder
    excluded: Finder | None
    on_row_n: Tensor
    on_col_m: Tensor
    uniform_row: float
    uniform_col: float
    row_total_n: Tensor
    col_total_m: Tensor

    def block(self, tile: Tile) -> Block:
        return Block(
            self.positives(tile),
            None if self.excluded is None else self.excluded(tile),
            self.on_row_n[tile.rows],
            self.on_col_m[tile.cols],
            self.uniform_row,
            self.uniform_col,
        )


class Target(nn.Module, ABC):
    """Makes the weights of a batch. `key` names the entry of `Batch.keys` that serves as content id; None: every row
    is its own content."""

    key: str | None = None

    @abstractmethod
    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights: ...


class OneHot(Target):
    """Row i belongs to the column of the same item and to no other (CLIP)."""

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        match = _Matches(rows.item, cols.item)
        return _normalised(match, dtype)


class Equality(Target):
    """Equal content is positive, all of it with equal weight (row sum 1); with unique ids this is `OneHot`."""

    def __init__(self, *, key: str) -> None:
        super().__init__()
        self.key = key

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        return _normalised(_Matches(rows.content, cols.content), dtype)


class LabelSmooth(Target):
    """(1 - amount) on the same item and amount / m on every column (Szegedy et al. 2016; the form of torch)."""

    def __init__(self, *, amount: float = 0.1) -> None:
        super().__init__()
        if not 0 <= amount < 1:
            raise ConfigError(f"LabelSmooth: amount is {amount}; give a value in [0, 1), for instance 0.1")
        self.amount = amount

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        w = _normalised(_Matches(rows.item, cols.item), dtype)
        w.on_row_n, w.on_col_m = (1 - self.amount) * w.on_row_n, (1 - self.amount) * w.on_col_m
        w.uniform_row, w.uniform_col = (self.amount / max(len(ids.item), 1) for ids in (cols, rows))
        return w


class MaskedDuplicates(Target):
    """Row i belongs to the column of the same item; other columns of equal content are no negatives either, they
    leave the denominator (the duplicate-text mask wanted by sentence-level training)."""

    def __init__(self, *, key: str) -> None:
        super().__init__()
        self.key = key

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        w = _normalised(_Matches(rows.item, cols.item), dtype)
        if not _Matches(rows.content, cols.content).unique:
            w.excluded = _OtherItems(rows, cols)
        return w


class _Matches:
    """Entries with equal ids. Unique ids need a pointer per row; repeated ones a comparison per tile."""

    def __init__(self, row_ids_n: Tensor, col_ids_m: Tensor) -> None:
        n = len(row_ids_n)
        values, inverse = torch.cat([row_ids_n, col_ids_m]).unique(return_inverse=True)
        in_rows, in_cols = (torch.bincount(part, minlength=len(values)) for part in (inverse[:n], inverse[n:]))
        self.row_count_n, self.col_count_m = in_cols[inverse[:n]], in_rows[inverse[n:]]
        self.unique = not bool((in_rows > 1).any() or (in_cols > 1).any())
        self.row_ids_n, self.col_ids_m = row_ids_n, col_ids_m
        if self.unique:
            column_of = inverse.new_full((len(values),), -1)
            column_of[inverse[n:]] = torch.arange(len(col_ids_m), device=inverse.device)
            self.column_n = column_of[inverse[:n]]

    def __call__(self, tile: Tile) -> Pairs:
        if not self.unique:
            r, c = (self.row_ids_n[tile.rows, None] == self.col_ids_m[None, tile.cols]).nonzero(as_tuple=True)
            return r, c
        column_h = self.column_n[tile.rows]
        (r,) = ((column_h >= tile.cols.start) & (column_h < tile.cols.stop)).nonzero(as_tuple=True)
        return r, column_h[r] - tile.cols.start


class _OtherItems:
    """Entries of equal content that are not the same item."""

    def __init__(self, rows: Ids, cols: Ids) -> None:
        self.rows, self.cols = rows, cols

    def __call__(self, tile: Tile) -> Pairs:
        same = self.rows.content[tile.rows, None] == self.cols.content[None, tile.cols]
        other = self.rows.item[tile.rows, None] != self.cols.item[None, tile.cols]
        r, c = (same & other).nonzero(as_tuple=True)
        return r, c


def _normalised(match: _Matches, dtype: torch.dtype) -> Weights:
    """Equal weight on each match of a row, summing to 1; 0 where a row has none."""
    on_row_n, on_col_m = (1 / count.clamp_min(1).to(dtype) for count in (match.row_count_n, match.col_count_m))
    has_row_n, has_col_m = ((count > 0).to(dtype) for count in (match.row_count_n, match.col_count_m))
    return Weights(match, None, on_row_n, on_col_m, 0.0, 0.0, has_row_n, has_col_m)
