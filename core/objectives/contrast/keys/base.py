"""Where the columns of a pairwise loss come from, and the matrices that follow from it.

Shape legend: n = pairs in this process, N = pairs in all processes, E = width of the shared space.

An accumulation window: a loss sees the keys of one call. Where a trainer sums the gradients of k calls before it
steps, each call competes with its own keys only: the loss is the mean of k losses over n pairs, not one over k n pairs,
and its floor moves with ln n, so compare "gain", not "loss". State (queues, memories, prototypes) moves once per
optimiser step, in `after_step`: all calls of a window see the same state, and what they found is taken up at its end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.objectives.base import Step
from core.objectives.contrast.matrix import Matrix
from core.objectives.contrast.similarity import Similarity
from core.objectives.contrast.targets import Ids, Target, Weights
from core.objectives.views import Viewed


@dataclass(slots=True)
class Problem:
    """One logit matrix: its rows, its columns, their ids, and the share of the loss that each direction carries.

    share is None for a direction without terms here. pairs: columns that a row competes with when nothing is excluded.
    everywhere: the shares are those of a mean over the rows of all processes, of which these are some, so that the
    average over processes that data-parallel training takes of losses and gradients is that mean, however unevenly
    rows, sample weights and empty targets are spread. Every process then solves the same problems, in the same order.
    """

    rows: Viewed
    cols: Viewed
    row_ids: Ids
    col_ids: Ids
    row_share: float | None
    col_share: float | None
    pairs: int
    everywhere: bool = False

    def by_direction(self) -> list[Problem]:
        """The same terms with the two directions apart, each as the rows of a matrix of its own."""
        if self.col_share is None:
            return [self]
        parts = [] if self.row_share is None else [replace(self, col_share=None)]
        swapped = replace(self, rows=self.cols, cols=self.rows, row_ids=self.col_ids, col_ids=self.row_ids)
        parts.append(replace(swapped, row_share=self.col_share, col_share=None))
        return parts

    def matrix(self, similarity: Similarity) -> Matrix:
        """The similarities of rows and columns."""
        return similarity.matrix(self.rows, self.cols)

    def weights(self, target: Target, dtype: torch.dtype) -> Weights:
        """Which entries belong together, from the ids and from what else travels with the rows."""
        row_ids, col_ids = (
            ids._replace(sides=side.sides, x=side.x.detach())
            for ids, side in ((self.row_ids, self.rows), (self.col_ids, self.cols))
        )
        return target.weights(row_ids, col_ids, dtype)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What keys beyond the pairs themselves may ask for. rows_n: rows of the batch that the pairs are, int64."""

    step: Step
    rows_n: Tensor
    similarity: Similarity


class Keys(nn.Module, ABC):
    """Lays out the matrices that make up a loss in two directions between the pairs (a_i, b_i).

    least: pairs that a single process needs before anything can be compared.
    """

    least: int = 2

    @property
    def key(self) -> Hashable:
        """Equal for keys that lay out alike and keep no state, so that terms of one step share what was gathered."""
        return id(self)

    @property
    @abstractmethod
    def collective(self) -> bool:
        """Whether every process must call `problems`, even one without a pair."""

    @abstractmethod
    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        """The first problem has rows a; an empty list while there is nothing to compare with.

        a, b: prepared by the similarity. content_n: ids of equal content. shares: weights of a -> b and of b -> a.
        """

    def after_step(self) -> None:
        """Called after the optimiser step."""


class BatchKeys(Keys):
    """The pairs of this process only: one square matrix serves both directions."""

    @property
    def key(self) -> Hashable:
        return BatchKeys

    @property
    def collective(self) -> bool:
        return False

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        n = len(a.x)
        ids = Ids(torch.arange(n, device=a.x.device), content_n)
        to_b, to_a = (None if share == 0 else share for share in shares)
        return [Problem(a, b, ids, ids, to_b, to_a, pairs=n)]
