"""Negatives of samples with any number of modalities: which tuples of the others an anchor is compared with.

Shape legend: n = anchors in this process, N = rows in all processes, M = modalities, E = width, m = columns.
Anchor i belongs with the tuple of its own sample. A column whose members are all of the anchor's content, but which is
not that tuple, is the same tuple under another number: it counts in no denominator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.objectives.contrast.keys import GatheredKeys, Keys
from core.objectives.contrast.matrix import DotMatrix, Matrix
from core.objectives.contrast.multilinear import CartesianMatrix, OverwrittenMatrix, product
from core.objectives.contrast.targets.weights import Pairs
from core.objectives.contrast.tiles import Tile
from core.objectives.viewed import Viewed


@dataclass(slots=True)
class Tuples:
    """One anchor modality against the tuples of the others. positive (n,): each anchor's column. excluded: entries that
    are no negatives, or None."""

    matrix: Matrix
    positive_n: Tensor
    excluded: SameTuples | None


@dataclass(slots=True)
class Gathered:
    """M modalities of every process. own, every: tensors (n, E) and (N, E). item (n,): where the own rows stand among
    all N. own_content (n,), every_content (N,): equal = interchangeable. everywhere: the loss is a mean over
    the rows of all processes (see `Problem`)."""

    own: list[Tensor]
    every: list[Tensor]
    item_n: Tensor
    own_content: Tensor
    every_content: Tensor
    everywhere: bool


class SameTuples:
    """Entries (i, c) with content_i = tuple_c, but for each row's own column. tuple (m,) content that all members of a
    column share; `column` (k,) says which columns have one."""

    def __init__(self, content_n: Tensor, positive_n: Tensor, content_k: Tensor, column_k: Tensor) -> None:
        row, k = (content_n[:, None] == content_k[None]).nonzero(as_tuple=True)
        other = column_k[k] != positive_n[row]
        self.row, self.column = row[other], column_k[k][other]

    def __call__(self, tile: Tile) -> Pairs:
        inside = (self.row >= tile.rows.start) & (self.row < tile.rows.stop)
        inside &= (self.column >= tile.cols.start) & (self.column < tile.cols.stop)
        return self.row[inside] - tile.rows.start, self.column[inside] - tile.cols.start

    def or_none(self) -> SameTuples | None:
        return self if len(self.row) else None


class TupleKeys(nn.Module, ABC):
    """across: where the rows that are combined come from, every process by default."""

    def __init__(self, *, across: Keys | None = None) -> None:
        super().__init__()
        self.across = GatheredKeys() if across is None else across

    @property
    def collective(self) -> bool:
        """Whether every process must call `gather`, even one without a row."""
        return self.across.collective

    @abstractmethod
    def tuples(self, rows: Gathered, generator: torch.Generator) -> list[Tuples]:
        """One for each anchor modality. generator: equal in every process."""

    def gather(self, modalities: Sequence[Tensor], content_n: Tensor | None) -> Gathered:
        """modalities: M tensors (n, E), row i of all is one sample. content (n,): None where every row is its own."""
        joint = torch.cat(list(modalities), dim=1)  # one message for all of them
        nothing = Viewed(joint.new_zeros(len(joint), 1))
        given_n = torch.zeros(len(joint), dtype=torch.int64, device=joint.device) if content_n is None else content_n
        problem = self.across.problems(nothing, Viewed(joint), given_n, (1.0, 0.0))[0]
        rows, cols = problem.row_ids, problem.col_ids
        every = list(problem.cols.x.chunk(len(modalities), dim=1))
        own = [x if len(x) else x.new_zeros(0, every[0].shape[1]) + x.sum() for x in modalities]  # width was unknown
        contents = (rows.item, cols.item) if content_n is None else (rows.content, cols.content)
        return Gathered(own, every, rows.item, *contents, problem.everywhere)

    def shared(self, generator: torch.Generator, device: torch.device) -> torch.Generator:
        """A generator that is equal in every process, drawn from that of the first."""
        seed = torch.randint(2**62, (1,), generator=generator).to(device)
        if self.collective:
            dist.broadcast(seed, 0)
        return torch.Generator().manual_seed(int(seed))


class PermutedKeys(TupleKeys):
    """N columns: every other modality in a random order of its own, multiplied; each anchor's own column is its true
    tuple. O(N E) memory. With a single other modality there is nothing to shuffle, and this is InfoNCE.

    A shuffle may bring a true tuple together again; the released code counts it as a negative, here it is left out.
    """

    def tuples(self, rows: Gathered, generator: torch.Generator) -> list[Tuples]:
        out = []
        for anchor, own_nE in enumerate(rows.own):
            others = [x for k, x in enumerate(rows.every) if k != anchor]
            true_nE = product([x for k, x in enumerate(rows.own) if k != anchor])
            value_n = (own_nE * true_nE).sum(1)
            orders = [self._order(len(rows.every_content), len(others), generator, own_nE.device) for _ in others]
            matrix = DotMatrix(own_nE, product([x_NE[order] for x_NE, order in zip(others, orders, strict=True)]))
            contents = [rows.every_content[order] for order in orders]
            excluded = _same(rows, rows.item_n, contents)
            out.append(Tuples(OverwrittenMatrix(matrix, value_n, rows.item_n), rows.item_n, excluded))
        return out

    def _order(self, n: int, others: int, generator: torch.Generator, device: torch.device) -> Tensor:
        order = torch.arange(n) if others == 1 else torch.randperm(n, generator=generator)
        return order.to(device)


class CartesianKeys(TupleKeys):
    """N^(M-1) columns: every combination of the others, one tile of them at a time. O(N E + N^(M-1)) memory."""

    def tuples(self, rows: Gathered, generator: torch.Generator) -> list[Tuples]:
        out = []
        n, k = len(rows.every_content), len(rows.own) - 1
        step = sum(n**power for power in range(k))  # from (i, i, ...) to (i + 1, i + 1, ...)
        for anchor, own_nE in enumerate(rows.own):
            matrix = CartesianMatrix(own_nE, [x for other, x in enumerate(rows.every) if other != anchor])
            positive_n = rows.item_n * step
            out.append(Tuples(matrix, positive_n, self._excluded(rows, positive_n, k)))
        return out

    def _excluded(self, rows: Gathered, positive_n: Tensor, k: int) -> SameTuples | None:
        if len(rows.every_content.unique()) == len(rows.every_content):  # then only (i, i, ...) has one content
            return None
        grid = torch.meshgrid(*[rows.every_content] * k, indexing="ij")
        return _same(rows, positive_n, [content.reshape(-1) for content in grid])


def _same(rows: Gathered, positive_n: Tensor, contents: Sequence[Tensor]) -> SameTuples | None:
    """contents: of each member of a column, each (m,)."""
    same_m = torch.ones_like(contents[0], dtype=torch.bool)
    for content_m in contents[1:]:
        same_m &= content_m == contents[0]
    (column_k,) = same_m.nonzero(as_tuple=True)
    return SameTuples(rows.own_content, positive_n, contents[0][column_k], column_k).or_none()
