"""Wrong ends of links, drawn among the nodes of the same subgraph.

Shape legend: V = rows, M = edges, S = links asked for, K = wrong ends of each, N = nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Asked:
    """Links that are asked for. row_S: their graph; triple_S3: head, relation, tail as node positions."""

    row_S: Tensor  # noqa: N815
    triple_S3: Tensor  # noqa: N815


class SubgraphNegatives:
    """Concept nodes of the subgraph, equally likely, never the context node.

    filtered: what makes an edge of the subgraph does not count. DRAGON's are unfiltered: they may be true, or the
    right end itself.
    """

    def __init__(self, *, per_positive: int = 64, filtered: bool = True) -> None:
        """per_positive: half of them replace the head, half the tail."""
        if per_positive < 2 or per_positive % 2:
            raise ConfigError(f"negatives: per_positive is {per_positive}; give an even number from 2 on")
        self.per_positive, self.filtered = per_positive, filtered

    def draw(
        self, asked: Asked, *, edges_VM3: Tensor, real_VM: Tensor, nodes_V: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """(S, 2, K / 2) node positions that replace heads, then tails, and the same shape bool, False where one does
        not count (None: all count). nodes_V: nodes of each graph, the context node among them."""
        shape = (len(asked.row_S), 2, self.per_positive // 2)
        share = torch.rand(shape, generator=generator).to(edges_VM3.device)
        room_S = (nodes_V[asked.row_S] - 1).clamp_min(1)
        drawn = 1 + (share * room_S[:, None, None]).long().clamp_max(room_S[:, None, None] - 1)
        if not self.filtered:
            return drawn, None
        head, relation, tail = (part[:, None, None] for part in asked.triple_S3.unbind(dim=1))
        heads = torch.tensor([True, False], device=drawn.device)[None, :, None]
        row_E, edge_E3 = real_VM.nonzero(as_tuple=True)[0], edges_VM3[real_VM]
        nodes, relations = int(nodes_V.max()), int(edge_E3[:, 1].max()) + 1 if len(edge_E3) else 1

        def key(row: Tensor, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
            return ((row * relations + relation) * nodes + head) * nodes + tail

        triple = (torch.where(heads, drawn, head), relation, torch.where(heads, tail, drawn))
        return drawn, ~torch.isin(key(asked.row_S[:, None, None], *triple), key(row_E, *edge_E3.unbind(dim=1)))
