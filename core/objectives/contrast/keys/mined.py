"""Each row meets its own pair and the few columns that a teacher finds hardest to tell from it.

Shape legend: n = pairs in this process, N = pairs in all processes, k = columns kept per row, E = the teacher's width,
h, w = rows and columns of one tile.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.keys.base import Keys, Occasion, Problem
from core.objectives.contrast.keys.gathered import GatheredKeys
from core.objectives.contrast.keys.restricted import RestrictedWeights
from core.objectives.contrast.similarity import unit
from core.objectives.contrast.targets import Target, Weights, view_rows
from core.objectives.contrast.tiles import Tile, tiles
from core.objectives.views import View, Viewed, as_view

ROWS = "mined"  # side that the teacher's vectors travel under
TILE = (1024, 4096)


class TeacherMined(Keys):
    """The own pair and the k other columns of the highest cosine between a teacher's views (DCD-style, in-batch mining
    by a stronger model). With k = N - 1 this is the full batch. A target's weights are scaled back to each row's total
    over what is kept; `TeacherSoftmax` then is distillation on the hard subset.

    The other columns cost no term and no gradient, but their tiles are still made. The teacher's vectors are gathered
    with the keys.
    """

    def __init__(self, *, k: int, rows: str | View, keys: str | View) -> None:
        """rows, keys: what the teacher shows of the term's first and second modality, usually `FromTeacher`."""
        super().__init__()
        if k < 1:
            raise ConfigError(f"TeacherMined: k is {k}; give the number of hard negatives per row, at least 1")
        self.k = k
        self.row_view, self.key_view = as_view(rows), as_view(keys)
        self.layout = GatheredKeys()

    @property
    def key(self) -> Hashable:
        return TeacherMined, self.k, self.row_view.key, self.key_view.key

    @property
    def collective(self) -> bool:
        return self.layout.collective

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        assert at is not None  # the term says what it compares
        of_a, of_b = (unit(view_rows(at.step, view, at.rows_n)) for view in (self.row_view, self.key_view))
        a, b = replace(a, sides={**a.sides, ROWS: of_a}), replace(b, sides={**b.sides, ROWS: of_b})
        laid_out = self.layout.problems(a, b, content_n, shares)
        return [_mined(part, self.k) for problem in laid_out for part in problem.by_direction()]


@dataclass(slots=True)
class MinedProblem(Problem):
    """admitted: (n, k') int64 columns per row, the own one among them."""

    admitted: Tensor | None = None

    def weights(self, target: Target, dtype: torch.dtype) -> Weights:
        return RestrictedWeights(Problem.weights(self, target, dtype), self._admits)

    def _admits(self, tile: Tile) -> Tensor:
        assert self.admitted is not None
        of_h = self.admitted[tile.rows]
        here = (of_h >= tile.cols.start) & (of_h < tile.cols.stop)
        r, which = here.nonzero(as_tuple=True)
        admits_hw = torch.zeros(tile.shape, dtype=torch.bool, device=of_h.device)
        admits_hw[r, of_h[r, which] - tile.cols.start] = True
        return admits_hw


def _mined(problem: Problem, k: int) -> MinedProblem:
    of_rows, of_cols = problem.rows.sides[ROWS], problem.cols.sides[ROWS]
    listed = hardest(of_rows, of_cols, problem.row_ids.item, problem.col_ids.item, k)
    fields = {name: getattr(problem, name) for name in Problem.__slots__}
    return MinedProblem(**{**fields, "pairs": min(problem.pairs, k + 1)}, admitted=listed)


def hardest(rows_nE: Tensor, cols_NE: Tensor, row_item_n: Tensor, col_item_N: Tensor, k: int) -> Tensor:
    """(n, min(k + 1, N)) columns: that of the same item, and the k others of the highest dot product; found tile by
    tile. Of equal scores the lower column wins."""
    n, m = len(rows_nE), len(cols_NE)
    width = min(k + 1, m)
    best = rows_nE.new_full((n, width), -torch.inf)
    where = torch.full((n, width), -1, dtype=torch.int64, device=rows_nE.device)
    for tile in tiles(n, m, TILE):
        s_hw = rows_nE[tile.rows] @ cols_NE[tile.cols].T
        s_hw[row_item_n[tile.rows, None] == col_item_N[None, tile.cols]] = torch.inf  # always kept
        score = torch.cat([best[tile.rows], s_hw], dim=1)
        here = torch.arange(tile.cols.start, tile.cols.stop, device=s_hw.device).expand_as(s_hw)
        index = torch.cat([where[tile.rows], here], dim=1)
        order = score.sort(dim=1, descending=True, stable=True).indices[:, :width]
        best[tile.rows], where[tile.rows] = score.gather(1, order), index.gather(1, order)
    return where
