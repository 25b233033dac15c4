"""A knowledge graph embedding as an encoder: entities, links between them, and scores.

Shape legend: V = triples, K = candidates of a question, E = entities, D = width of an entity.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.data.processor import Processor
from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.types import Encoded, ModalityInput
from domains.molecules.kg.entities import Entities
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.links import Links
from domains.molecules.kg.processor import TripleProcessor


class LinkEncoder(Encoder):
    """Triples (V, 3) -> Encoded.pooled (V, D), the point where the tail of (head, relation) should be.

    Terms and measurements ask it for scores. bias: a learned number per entity that is added to its scores.
    """

    graph: Graph | None = None

    def __init__(self, *, entities: Entities, links: Links, bias: bool = False) -> None:
        """Raises ConfigError when the entities are not as wide as the links need them."""
        super().__init__()
        if entities.width != links.width:
            raise ConfigError(
                f"{type(links).__name__} of dim {links.dim} needs entities of width {links.width}; "
                f"{type(entities).__name__} has {entities.width}"
            )
        self.entities, self.links, self.width = entities, links, entities.width
        self.bias = nn.Parameter(torch.zeros(entities.count, 1)) if bias else None

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        head_V, relation_V, _ = inp.x.unbind(dim=1)
        return Encoded(pooled=self.links.tail_query(self.entities.rows(head_V), relation_V, head_V))

    def take(self, processor: Processor) -> None:
        if not isinstance(processor, TripleProcessor):
            raise ConfigError(
                f"{type(self).__name__} reads triples; its processor is a {type(processor).__name__}, expected "
                "domains.molecules.kg.TripleProcessor"
            )
        graph = processor.graph()
        if graph.relations > self.links.relations:
            raise ConfigError(
                f"the graph has {graph.relations} relations and the model {self.links.relations}; set `relations` to "
                "at least that"
            )
        self.entities.take(graph)
        self.links.take(graph)
        self.graph = graph

    def question(self, known_V: Tensor, relation_V: Tensor, *, heads: bool, entities: Entities | None = None) -> Tensor:
        """(V, D) where the missing ends should be. known_V: ids of the given ends; heads: whether heads are missing.
        entities: as a step sees them (`Entities.without`); None = with all that is known."""
        entities = self.entities if entities is None else entities
        return self.links.query(entities.rows(known_V), relation_V, known_V, heads=heads)

    def candidate_scores(self, query_VD: Tensor, candidate_VK: Tensor, entities: Entities | None = None) -> Tensor:
        """(V, K) scores of entities `candidate_VK` for each question."""
        entities = self.entities if entities is None else entities
        score_VK = self.links.match.pairs(query_VD, entities.rows(candidate_VK))
        if self.bias is not None:
            score_VK = score_VK + F.embedding(candidate_VK, self.bias)[..., 0]
        return score_VK

    def all_scores(self, query_VD: Tensor, entities: Entities | None = None) -> Tensor:
        """(V, E) scores of all entities."""
        entity_ED = (self.entities if entities is None else entities).every()
        score_VE = self.links.match.every(query_VD, entity_ED)
        return score_VE if self.bias is None else score_VE + self.bias[: len(entity_ED), 0]
