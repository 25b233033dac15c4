"""Where the vectors of entities come from: a table, or quarters of structure and text.

Shape legend: E = entities, D = width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.links import first_values
from domains.molecules.kg.sources import TextSource

STRUCTURE = "structure"


class Entities(nn.Module, ABC):
    """count: E. width: D."""

    count: int
    width: int

    @abstractmethod
    def rows(self, ids: Tensor) -> Tensor:
        """(..., D) of the entities `ids`."""

    @abstractmethod
    def every(self) -> Tensor:
        """(E, D)."""

    def without(self, hidden_N3: Tensor) -> Entities:
        """The entities as they are seen by a step that asks for the triples `hidden_N3` (head, relation, tail): what
        reads neighbours must not read these."""
        return self

    def take(self, graph: Graph) -> None:
        """Learn what is data. Raises ConfigError when the graph has more entities than the model."""
        if graph.entities > self.count:
            raise ConfigError(
                f"the graph has {graph.entities} entities and the model {self.count}; set `entities` to at least that"
            )


class EntityTable(Entities):
    """One learned vector per entity. unit_length: rows are divided by their length whenever they are read."""

    def __init__(self, *, entities: int, width: int, init_std: float = 1.0, unit_length: bool = False) -> None:
        """init_std: deviation of the normal distribution of first values; 0 draws Xavier's uniform ones."""
        super().__init__()
        self.count, self.width, self.unit_length = entities, width, unit_length
        self.vector = first_values(entities, width, init_std)

    def rows(self, ids: Tensor) -> Tensor:
        found = F.embedding(ids, self.vector)
        return F.normalize(found, dim=-1) if self.unit_length else found

    def every(self) -> Tensor:
        return F.normalize(self.vector, dim=-1) if self.unit_length else self.vector


class MultiModalEntities(Entities):
    """Entities whose quarters come from different sources (Nayyeri et al. 2023); structure quarters are learned."""

    def __init__(
        self,
        *,
        entities: int,
        dim: int,
        quarters: tuple[str, str, str, str],
        sources: dict[str, int] | None = None,
        init_std: float = 0.1,
    ) -> None:
        """dim: width of a quarter. quarters: "structure" or the name of a text source, each. sources: name -> its
        number of features. Raises ConfigError for a quarter that is neither, and a source that no quarter uses."""
        super().__init__()
        self.count, self.width, self.quarters = entities, 4 * dim, tuple(quarters)
        given = sources or {}
        unknown = [q for q in self.quarters if q not in (STRUCTURE, *given)]
        if unknown or len(self.quarters) != 4:
            raise ConfigError(
                f"quarters are {self.quarters}; give four of: structure, {', '.join(given) or '(sources)'}"
            )
        unused = sorted(set(given) - set(self.quarters))
        if unused:
            raise ConfigError(f"sources: no quarter uses {', '.join(unused)}; leave them out")
        learned = self.quarters.count(STRUCTURE)
        self.vector = first_values(entities, learned * dim, init_std) if learned else None
        self.texts = nn.ModuleList(TextSource(q, given[q], dim=dim) for q in self.quarters if q != STRUCTURE)
        self.dim = dim

    def rows(self, ids: Tensor) -> Tensor:
        if ids.numel() < self.count:
            return self._joined(ids)
        every_ED = self.every()  # each text once, not once for every question that draws its entity
        return F.embedding(ids, every_ED)

    def every(self) -> Tensor:
        return self._joined(None)

    def _joined(self, ids: Tensor | None) -> Tensor:
        learned: list[Tensor] = []
        if self.vector is not None:
            vector = self.vector if ids is None else F.embedding(ids, self.vector)
            learned = list(vector.split(self.dim, dim=-1))
        texts = [text(ids) for text in self.texts]
        if ids is None and texts:  # texts know the graph's entities, the table may have room for more
            learned = [part[: len(texts[0])] for part in learned]
        order = [learned.pop(0) if quarter == STRUCTURE else texts.pop(0) for quarter in self.quarters]
        return torch.cat(order, dim=-1)

    def take(self, graph: Graph) -> None:
        super().take(graph)
        for text in self.texts:
            assert isinstance(text, TextSource)
            text.take(graph)
