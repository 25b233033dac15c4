"""Wrong answers to a question (known end, relation): drawn uniformly, or uniformly among those not known to be true.

Shape legend: V = questions, K = negatives of each, T = training triples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.errors import ConfigError
from domains.molecules.kg.graph import Graph, triple_keys


@dataclass(frozen=True, slots=True)
class Questions:
    """Triples with one end hidden. triples_V3: head, relation, tail. heads_V: bool, True: asked for the head."""

    triples_V3: Tensor  # noqa: N815
    heads_V: Tensor  # noqa: N815

    @property
    def answer_V(self) -> Tensor:  # noqa: N802
        return torch.where(self.heads_V, self.triples_V3[:, 0], self.triples_V3[:, 2])


class Negatives(ABC):
    """Draws wrong answers."""

    def __init__(self, *, per_positive: int = 1) -> None:
        """per_positive: K. Raises ConfigError for less than one."""
        if per_positive < 1:
            raise ConfigError(f"negatives: per_positive is {per_positive}; give 1 or more")
        self.per_positive = per_positive

    @abstractmethod
    def draw(self, asked: Questions, graph: Graph, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """(V, K) entities, and (V, K) bool, False where no wrong answer was found (None: all were)."""


class UniformNegatives(Negatives):
    """Any entity but the right one, equally likely."""

    def draw(self, asked: Questions, graph: Graph, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        answer_V1 = asked.answer_V[:, None]
        drawn_VK = torch.randint(max(1, graph.entities - 1), (len(answer_V1), self.per_positive), generator=generator)
        drawn_VK = drawn_VK.to(answer_V1.device)
        return drawn_VK + (drawn_VK >= answer_V1), None  # the right one is stepped over


class FilteredNegatives(Negatives):
    """Any entity that makes no training triple. Draws are repeated `tries` times; what is still true is left out."""

    def __init__(self, *, per_positive: int = 1, tries: int = 10) -> None:
        super().__init__(per_positive=per_positive)
        self.tries = tries
        self._key_T: Tensor | None = None
        self._of: Graph | None = None

    def draw(self, asked: Questions, graph: Graph, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        if self._key_T is None or self._of is not graph:
            keys = np.unique(triple_keys(graph.triples_T3, entities=graph.entities, relations=graph.relations))
            self._key_T, self._of = torch.from_numpy(keys), graph
        triples_V3, heads_V = asked.triples_V3.cpu(), asked.heads_V.cpu()
        drawn_VK = torch.randint(graph.entities, (len(triples_V3), self.per_positive), generator=generator)
        for _ in range(self.tries):
            true_VK = self._is_known(drawn_VK, triples_V3, heads_V, graph)
            if not true_VK.any():
                break
            again_N = torch.randint(graph.entities, (int(true_VK.sum()),), generator=generator)
            drawn_VK[true_VK] = again_N
        wrong_VK = ~self._is_known(drawn_VK, triples_V3, heads_V, graph)
        device = asked.triples_V3.device
        return drawn_VK.to(device), None if bool(wrong_VK.all()) else wrong_VK.to(device)

    def _is_known(self, drawn_VK: Tensor, triples_V3: Tensor, heads_V: Tensor, graph: Graph) -> Tensor:
        assert self._key_T is not None
        heads_V1 = heads_V[:, None]
        head_VK = torch.where(heads_V1, drawn_VK, triples_V3[:, :1])
        tail_VK = torch.where(heads_V1, triples_V3[:, 2:], drawn_VK)
        key_VK = (head_VK * graph.relations + triples_V3[:, 1:2]) * graph.entities + tail_VK
        place_VK = torch.searchsorted(self._key_T, key_VK).clamp(max=len(self._key_T) - 1)
        return self._key_T[place_VK] == key_VK
