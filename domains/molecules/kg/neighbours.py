"""Entities read from their neighbourhood: relational convolution or attention over the training triples.

A triple under question is no message: neither it nor its inverse is an edge of the step that asks for it (`without`),
or the answer would be read off the graph. Facts that are known at inference only are edges like the others.

Shape legend: E = entities, D = width, M = edges of messages (both directions of every triple).
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import ConfigError
from domains.molecules.geometric import layer
from domains.molecules.kg.entities import Entities
from domains.molecules.kg.graph import Graph, triple_keys


class FixedEntities(Entities):
    """Vectors computed once for a step."""

    def __init__(self, entity_ED: Tensor) -> None:
        super().__init__()
        self.count, self.width = entity_ED.shape
        self._entity_ED = entity_ED

    def rows(self, ids: Tensor) -> Tensor:
        return self._entity_ED[ids]

    def every(self) -> Tensor:
        return self._entity_ED


class NeighbourEntities(Entities):
    """Vectors of `base`, plus what `depth` layers of messages add to them."""

    source_M: Tensor  # noqa: N815
    target_M: Tensor  # noqa: N815
    type_M: Tensor  # noqa: N815
    key_M: Tensor  # noqa: N815

    def __init__(self, *, base: Entities, relations: int, depth: int = 2, dropout: float = 0.0) -> None:
        """relations: R, without inverses; messages against a relation have a type of their own. dropout: of messages'
        sums while training."""
        super().__init__()
        if depth < 1:
            raise ConfigError(f"{type(self).__name__}: depth is {depth}; give 1 or more")
        self.base, self.relations, self.depth = base, relations, depth
        self.count, self.width = base.count, base.width
        self.dropout = nn.Dropout(dropout)
        for name in ("source_M", "target_M", "type_M", "key_M"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64), persistent=False)
        self._shape = (0, 0)

    @abstractmethod
    def message(self, depth: int, x_ED: Tensor, edge_2M: Tensor, type_M: Tensor) -> Tensor:
        """(E, D) what a layer makes of its neighbours."""

    def take(self, graph: Graph) -> None:
        if graph.relations > self.relations:
            raise ConfigError(f"the graph has {graph.relations} relations and the entities' layers {self.relations}")
        self.base.take(graph)
        triples_N3 = np.concatenate([graph.triples_T3, graph.facts_N3])
        key_N = torch.from_numpy(triple_keys(triples_N3, entities=graph.entities, relations=graph.relations))
        head_N, type_N, tail_N = torch.from_numpy(triples_N3).unbind(dim=1)
        device = self.source_M.device
        self.source_M = torch.cat([head_N, tail_N]).to(device)
        self.target_M = torch.cat([tail_N, head_N]).to(device)
        self.type_M = torch.cat([type_N, type_N + self.relations]).to(device)
        self.key_M = torch.cat([key_N, key_N]).to(device)
        self._shape = (graph.entities, graph.relations)

    def rows(self, ids: Tensor) -> Tensor:
        return self.every()[ids]

    def every(self) -> Tensor:
        return self._computed(torch.ones_like(self.key_M, dtype=torch.bool))

    def without(self, hidden_N3: Tensor) -> Entities:
        entities, relations = self._shape
        head_N, type_N, tail_N = hidden_N3.unbind(dim=1)
        hidden_N = (head_N * relations + type_N) * entities + tail_N
        return FixedEntities(self._computed(~torch.isin(self.key_M, hidden_N)))

    def _computed(self, kept_M: Tensor) -> Tensor:
        edge_2M, type_M = torch.stack([self.source_M[kept_M], self.target_M[kept_M]]), self.type_M[kept_M]
        x_ED = self.base.every()
        for depth in range(self.depth):
            x_ED = x_ED + self.dropout(self.message(depth, x_ED, edge_2M, type_M))
        return x_ED


class RelationalConvolution(NeighbourEntities):
    """R-GCN (Schlichtkrull et al. 2018): mean of W_r x over the neighbours of each relation, W_r from a few bases."""

    def __init__(
        self, *, base: Entities, relations: int, depth: int = 2, dropout: float = 0.0, bases: int | None = 4
    ) -> None:
        """bases: matrices that the relations' ones are sums of; None gives each relation its own."""
        super().__init__(base=base, relations=relations, depth=depth, dropout=dropout)
        convolution = layer("RGCNConv")
        self.layers = nn.ModuleList(
            convolution(self.width, self.width, 2 * relations, num_bases=bases) for _ in range(depth)
        )

    def message(self, depth: int, x_ED: Tensor, edge_2M: Tensor, type_M: Tensor) -> Tensor:
        return torch.tanh(self.layers[depth](x_ED, edge_2M, type_M))


class RelationalAttention(NeighbourEntities):
    """Graph attention (Velickovic et al. 2018) whose keys and messages hold a vector of the edge's relation."""

    def __init__(self, *, base: Entities, relations: int, depth: int = 2, dropout: float = 0.0, heads: int = 4) -> None:
        super().__init__(base=base, relations=relations, depth=depth, dropout=dropout)
        if self.width % heads:
            raise ConfigError(f"RelationalAttention: width {self.width} is no multiple of {heads} heads")
        attention = layer("GATv2Conv")
        self.relation = nn.Embedding(2 * relations, self.width)
        self.layers = nn.ModuleList(
            attention(self.width, self.width // heads, heads=heads, edge_dim=self.width, add_self_loops=False)
            for _ in range(depth)
        )

    def message(self, depth: int, x_ED: Tensor, edge_2M: Tensor, type_M: Tensor) -> Tensor:
        return torch.tanh(self.layers[depth](x_ED, edge_2M, self.relation(type_M)))
