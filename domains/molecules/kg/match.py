"""How near an entity is to what a question points at. Higher is better; both forms give the same numbers.

Shape legend: V = questions, K = candidates of each question, E = all entities, D = width of an entity.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

BLOCK_NUMBERS = 2**24  # float32 numbers of an expanded (V, block, D) tensor: 64 MB


class Match(ABC):
    """Scores of entities for questions."""

    @abstractmethod
    def pairs(self, query_VD: Tensor, entity_VKD: Tensor) -> Tensor:
        """(V, K): each question with candidates of its own."""

    @abstractmethod
    def every(self, query_VD: Tensor, entity_ED: Tensor) -> Tensor:
        """(V, E): each question with all entities."""


class Dot(Match):
    """<q, e>; one matrix product for all entities."""

    def pairs(self, query_VD: Tensor, entity_VKD: Tensor) -> Tensor:
        return torch.bmm(entity_VKD, query_VD[:, :, None])[:, :, 0]

    def every(self, query_VD: Tensor, entity_ED: Tensor) -> Tensor:
        return query_VD @ entity_ED.T


class Distance(Match):
    """-||q - e||_p, p 1 or 2."""

    def __init__(self, p: int = 2) -> None:
        self.p = float(p)

    def pairs(self, query_VD: Tensor, entity_VKD: Tensor) -> Tensor:
        return -torch.linalg.vector_norm(query_VD[:, None] - entity_VKD, ord=self.p, dim=-1)

    def every(self, query_VD: Tensor, entity_ED: Tensor) -> Tensor:
        return -torch.cdist(query_VD, entity_ED, p=self.p)


class SquaredDistance(Match):
    """-||q - e||^2; one matrix product for all entities."""

    def pairs(self, query_VD: Tensor, entity_VKD: Tensor) -> Tensor:
        return -(query_VD[:, None] - entity_VKD).square().sum(dim=-1)

    def every(self, query_VD: Tensor, entity_ED: Tensor) -> Tensor:
        own_V1, own_1E = query_VD.square().sum(dim=-1)[:, None], entity_ED.square().sum(dim=-1)[None]
        return 2 * query_VD @ entity_ED.T - own_V1 - own_1E


class SumOfModuli(Match):
    """-sum over complex coordinates of |q_i - e_i| (Sun et al. 2019). No matrix product does it: blocks of entities."""

    def pairs(self, query_VD: Tensor, entity_VKD: Tensor) -> Tensor:
        return -_moduli(query_VD[:, None] - entity_VKD)

    def every(self, query_VD: Tensor, entity_ED: Tensor) -> Tensor:
        block = max(1, BLOCK_NUMBERS // max(1, query_VD.numel()))
        parts = [-_moduli(query_VD[:, None] - part_eD[None]) for part_eD in entity_ED.split(block)]
        return torch.cat(parts, dim=1)


def _moduli(difference: Tensor) -> Tensor:
    a, b = difference.chunk(2, dim=-1)
    return (a.square() + b.square()).clamp_min(1e-24).sqrt().sum(dim=-1)  # finite gradient at 0
