"""Where ids are equal: the positives of most targets.

Shape legend: n = rows, m = columns (keys), h = rows of one tile.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.objectives.contrast.targets.base import Ids
from core.objectives.contrast.targets.weights import Pairs, SparseWeights
from core.objectives.contrast.tiles import Tile


class Matches:
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


class OtherItems:
    """Entries of equal content that are not the same item."""

    def __init__(self, rows: Ids, cols: Ids) -> None:
        self.rows, self.cols = rows, cols

    def __call__(self, tile: Tile) -> Pairs:
        same = self.rows.content[tile.rows, None] == self.cols.content[None, tile.cols]
        other = self.rows.item[tile.rows, None] != self.cols.item[None, tile.cols]
        r, c = (same & other).nonzero(as_tuple=True)
        return r, c


def normalised(match: Matches, dtype: torch.dtype) -> SparseWeights:
    """Equal weight on each match of a row, summing to 1; 0 where a row has none."""
    on_row_n, on_col_m = (1 / count.clamp_min(1).to(dtype) for count in (match.row_count_n, match.col_count_m))
    return SparseWeights(match, None, on_row_n, on_col_m, *occupied(match, dtype))


def occupied(match: Matches, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(n,), (m,): 1 for a row or column with a match, else 0."""
    return (match.row_count_n > 0).to(dtype), (match.col_count_m > 0).to(dtype)
