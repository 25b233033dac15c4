"""What a relation does to an entity: where the other end of a triple should be.

A model of links answers a question (known end, relation) with a point in the space of entities; a `Match` compares it
with entities. So the score of (h, r, t) is match(tail_query(h, r), t), all tails are one call, and no published model
of the family needs a scoring loop of its own.

Shape legend: V = triples, R = relations, D = width of an entity = parts * d, d = numbers of the algebra.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.match import Match


class Links(nn.Module, ABC):
    """Relations of a knowledge graph. inverse: a second vector for each relation asks for heads, (t, r + R) -> h.

    parts: components of a number of the algebra. two_ways: whether `head_query` exists without inverse relations.
    """

    parts: ClassVar[int] = 1
    two_ways: ClassVar[bool] = True
    match: Match

    def __init__(self, *, relations: int, dim: int, inverse: bool = False) -> None:
        """relations: R, without inverses. dim: d. Raises ConfigError for a model that needs inverses and has none."""
        super().__init__()
        if not (inverse or self.two_ways):
            raise ConfigError(
                f"{type(self).__name__}: cannot be asked for heads, since what a relation does has no counterpart of "
                "equal score; set inverse: true"
            )
        self.relations, self.dim, self.inverse = relations, dim, inverse
        self.width = self.parts * dim
        self.rows = relations * (2 if inverse else 1)

    def query(self, known_VD: Tensor, relation_V: Tensor, known_V: Tensor, *, heads: bool) -> Tensor:
        """(V, D) where the missing end should be. known_V: ids of the known ends. heads: whether heads are missing."""
        if not heads:
            return self.tail_query(known_VD, relation_V, known_V)
        if self.inverse:
            return self.tail_query(known_VD, relation_V + self.relations, known_V)
        return self.head_query(known_VD, relation_V)

    @abstractmethod
    def tail_query(self, head_VD: Tensor, relation_V: Tensor, head_V: Tensor) -> Tensor:
        """(V, D) where the tails should be. head_V: ids of the heads, for models that look up more about them."""

    def head_query(self, tail_VD: Tensor, relation_V: Tensor) -> Tensor:
        """(V, D) with match(head_query(t, r), h) = match(tail_query(h, r), t) for all h."""
        raise ConfigError(f"{type(self).__name__} answers for heads through inverse relations only")

    def factors(self, relation_V: Tensor) -> Tensor:
        """(V, parts, d) of the relations, for regularisers."""
        raise ConfigError(f"{type(self).__name__} has no factors for a regulariser")

    def take(self, graph: Graph) -> None:
        """Learn what is data and not a weight."""


class FactorLinks(Links):
    """Links with one vector of the algebra per relation."""

    def __init__(self, *, relations: int, dim: int, inverse: bool = False, init_std: float = 1.0) -> None:
        """init_std: deviation of the normal distribution of first values; 0 draws Xavier's uniform ones."""
        super().__init__(relations=relations, dim=dim, inverse=inverse)
        self.relation = first_values(self.rows, self.width, init_std)

    def vectors(self, relation_V: Tensor) -> Tensor:
        """(V, D)."""
        return F.embedding(relation_V, self.relation)

    def factors(self, relation_V: Tensor) -> Tensor:
        return self.vectors(relation_V).unflatten(-1, (self.parts, self.dim))


def first_values(rows: int, width: int, std: float) -> nn.Parameter:
    """(rows, width) parameter; std 0 draws Xavier's uniform distribution."""
    values = torch.empty(rows, width)
    nn.init.xavier_uniform_(values) if std == 0 else nn.init.normal_(values, std=std)
    return nn.Parameter(values)
