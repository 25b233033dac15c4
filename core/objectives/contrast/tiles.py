"""Rectangles of a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Tile(NamedTuple):
    """A rectangle of the logit matrix."""

    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


def tiles(n: int, m: int, size: tuple[int, int]) -> Iterator[Tile]:
    """Rectangles that cover n x m, row block by row block; the last ones may be smaller."""
    for i in range(0, n, size[0]):
        for j in range(0, m, size[1]):
            yield Tile(slice(i, min(i + size[0], n)), slice(j, min(j + size[1], m)))
