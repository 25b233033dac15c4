"""Which edges of a graph are asked for, and which may carry messages meanwhile.

An edge that is to be predicted must not be an edge that messages run along, nor may its inverse: the answer would be
read off the graph. Supervision and messages are therefore two masks over the same edges, made in one place.

Shape legend: V = graphs of the batch, M = edges of each (padded), N = nodes of each, R = relations.
An edge is (head, relation, tail); relation r + R is the inverse of r.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class HiddenEdges:
    """asked_VM: bool, edges to predict. messages_VM: bool, edges that messages may use; padding is neither."""

    asked_VM: Tensor  # noqa: N815
    messages_VM: Tensor  # noqa: N815


@dataclass(frozen=True, slots=True)
class EdgeDraw:
    """How many edges of a graph are asked for: int(ratio * M), at least `least` and at most `most`.

    visible: share of those asked for that stay messages all the same (DRAGON: a tenth).
    """

    ratio: float = 0.15
    most: int = 100
    least: int = 0
    visible: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1 or not 0 <= self.visible <= 1 or not 0 <= self.least <= self.most:
            raise ConfigError(
                f"hidden edges: ratio {self.ratio}, visible {self.visible}, least {self.least}, most {self.most}; give "
                "shares in [0, 1] and least <= most"
            )

    def __call__(
        self, edges_VM3: Tensor, real_VM: Tensor, *, relations: int, generator: torch.Generator
    ) -> HiddenEdges:
        """Draw from the CPU generator. edges_VM3: int64; real_VM: bool, False = padding; relations: R."""
        count_V = (real_VM.sum(1).cpu().double() * self.ratio + 1e-9).long().clamp(self.least, self.most)
        order_VM = torch.rand(real_VM.shape, generator=generator).masked_fill(~real_VM.cpu(), 2.0).argsort(1).argsort(1)
        asked_VM = (order_VM < count_V[:, None]).to(real_VM.device) & real_VM
        stays_VM = (torch.rand(real_VM.shape, generator=generator) < self.visible).to(real_VM.device)
        away_VM = same_facts(edges_VM3, asked_VM & ~stays_VM, relations=relations)
        return HiddenEdges(asked_VM, real_VM & ~away_VM)


def same_facts(edges_VM3: Tensor, chosen_VM: Tensor, *, relations: int) -> Tensor:
    """(V, M) bool: edges that say what a chosen edge of the same graph says.

    That is the edge itself, its inverse (t, r + R, h), and, since many relations are symmetric, the same relation with
    its ends exchanged.
    """
    head_VM, type_VM, tail_VM = edges_VM3.unbind(dim=-1)
    low_VM, high_VM = torch.minimum(head_VM, tail_VM), torch.maximum(head_VM, tail_VM)
    nodes = int(high_VM.max()) + 1 if high_VM.numel() else 1
    graph_V1 = torch.arange(len(edges_VM3), device=edges_VM3.device)[:, None]
    key_VM = ((graph_V1 * relations + type_VM % relations) * nodes + low_VM) * nodes + high_VM
    return torch.isin(key_VM, key_VM[chosen_VM])
