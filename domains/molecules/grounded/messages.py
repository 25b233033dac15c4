"""The edges that messages run along: facts, links of the context node, their inverses, and self loops.

Edge types: 0 and 1 link the context node to concepts of the question and of the answer, 2 + r is relation r, the
inverse of type i is i + R + 2, and 2 (R + 2) is the self loop (the numbering of GreaseLM and DRAGON).

Shape legend: V = rows, N = nodes of a row (padded), P = real nodes of all rows, M = messages, R = relations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from core.types import ModalityInput
from domains.molecules.grounded.processor import ANSWER

LINKS, NODE_TYPES = 2, 4


@dataclass(frozen=True, slots=True)
class Messages:
    """node_P: concept of each real node + 1, 0 for context nodes; kind_P: its type; context_V: places of context
    nodes. source_M, target_M: places; type_M: edge types. real_VN: which nodes are real, in the order of P."""

    node_P: Tensor  # noqa: N815
    kind_P: Tensor  # noqa: N815
    context_V: Tensor  # noqa: N815
    source_M: Tensor  # noqa: N815
    target_M: Tensor  # noqa: N815
    type_M: Tensor  # noqa: N815
    real_VN: Tensor  # noqa: N815

    def features(self, relations: int) -> Tensor:
        """(M, 2 (R + 2) + 1 + 8): one-hot types of edge, source and target."""
        kinds = (self.kind_P[self.source_M], self.kind_P[self.target_M])
        hot = [F.one_hot(self.type_M, edge_types(relations)), *(F.one_hot(kind, NODE_TYPES) for kind in kinds)]
        return torch.cat(hot, dim=1).to(torch.get_default_dtype())

    def unpacked(self, x_PD: Tensor) -> Tensor:
        """(V, N, D), zeros for padding."""
        out_VND = x_PD.new_zeros(*self.real_VN.shape, x_PD.shape[-1])
        return out_VND.masked_scatter(self.real_VN[..., None], x_PD)


def edge_types(relations: int) -> int:
    """How many edge types there are with `relations` relations: both directions of all, and the self loop."""
    return 2 * (relations + LINKS) + 1


def messages(inp: ModalityInput, relations: int) -> Messages:
    """The messages of a batch; edges where `edge_mask` is False carry none, in either direction."""
    extra = inp.extra
    real_VN, kind_VN = extra["node_mask"], extra["node_type"]
    place_VN = (real_VN.flatten().long().cumsum(0) - 1).view_as(real_VN)
    row_E, of_row_E = extra["edge_mask"].nonzero(as_tuple=True)
    head_E, type_E, tail_E = extra["edges"][row_E, of_row_E].unbind(dim=1)
    row_L, node_L = (real_VN & (kind_VN <= ANSWER)).nonzero(as_tuple=True)
    source = torch.cat([place_VN[row_E, head_E], place_VN[row_L, 0]])
    target = torch.cat([place_VN[row_E, tail_E], place_VN[row_L, node_L]])
    kind = torch.cat([type_E + LINKS, kind_VN[row_L, node_L]])
    own = torch.arange(int(real_VN.sum()), device=real_VN.device)
    half = relations + LINKS
    return Messages(
        node_P=extra["nodes"][real_VN],
        kind_P=kind_VN[real_VN],
        context_V=place_VN[:, 0],
        source_M=torch.cat([source, target, own]),
        target_M=torch.cat([target, source, own]),
        type_M=torch.cat([kind, kind + half, torch.full_like(own, 2 * half)]),
        real_VN=real_VN,
    )
