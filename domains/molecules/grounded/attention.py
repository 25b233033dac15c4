"""Graph attention over typed edges, as in QA-GNN and GreaseLM (Yasunaga et al. 2021, Zhang et al. 2022).

Shape legend: P = nodes of all graphs, M = messages (self loops among them), D = width, H = heads, K = width of a head.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from core.errors import ConfigError

Norm = Literal["batch", "layer"]


def two_layers(inner: int, width: int, norm: Norm) -> nn.Sequential:
    """Linear - norm - ReLU - Linear. "batch" is the published norm; it makes a row depend on the others of its batch,
    which "layer" does not."""
    middle: nn.Module = nn.BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width)
    return nn.Sequential(nn.Linear(inner, width), middle, nn.ReLU(), nn.Linear(width, width))


def segment_softmax(score_MH: Tensor, segment_M: Tensor, segments: int) -> Tensor:
    """(M, H) softmax over the messages of each segment, in float32 or better."""
    score_MH = score_MH if score_MH.dtype == torch.float64 else score_MH.float()
    index_MH = segment_M[:, None].expand_as(score_MH)
    top_SH = score_MH.new_full((segments, score_MH.shape[1]), -torch.inf)
    top_SH = top_SH.scatter_reduce(0, index_MH, score_MH.detach(), "amax")
    power_MH = (score_MH - top_SH[segment_M]).exp()
    total_SH = power_MH.new_zeros(top_SH.shape).index_add(0, segment_M, power_MH)
    return power_MH / total_SH[segment_M]


class TypedGraphAttention(nn.Module):
    """GATConvE: key = W_k [x_target ; e], message = W_m [x_source ; e], query = W_q x_source / sqrt(K).

    The softmax runs over the OUTGOING messages of a source and is multiplied by their number, so that a source of one
    message (its self loop) sends it whole. No residual.
    """

    def __init__(self, *, width: int, heads: int = 4, norm: Norm = "batch") -> None:
        """Raises ConfigError when the heads do not divide the width."""
        super().__init__()
        if width % heads:
            raise ConfigError(f"TypedGraphAttention: width {width} is no multiple of {heads} heads")
        self.heads, self.head_width = heads, width // heads
        self.linear_key = nn.Linear(3 * width, width)
        self.linear_msg = nn.Linear(3 * width, width)
        self.linear_query = nn.Linear(2 * width, width)
        self.mlp = two_layers(width, width, norm)

    def alpha(self, own_P2D: Tensor, edge_MD: Tensor, source_M: Tensor, target_M: Tensor) -> Tensor:
        """(M, H) weights of messages; those of a source sum to its number of messages."""
        key_MHK = self._split(self.linear_key(torch.cat([own_P2D[target_M], edge_MD], dim=1)))
        query_PHK = self._split(self.linear_query(own_P2D)) / math.sqrt(self.head_width)
        score_MH = (query_PHK[source_M] * key_MHK).sum(dim=-1)
        count_P = torch.bincount(source_M, minlength=len(own_P2D))
        return segment_softmax(score_MH, source_M, len(own_P2D)) * count_P[source_M][:, None]

    def forward(self, x_PD: Tensor, extra_PD: Tensor, edge_MD: Tensor, source_M: Tensor, target_M: Tensor) -> Tensor:
        """(P, D). extra_PD: what is known of a node beside its state. edge_MD: encoded edges."""
        own_P2D = torch.cat([x_PD, extra_PD], dim=1)
        alpha_MH = self.alpha(own_P2D, edge_MD, source_M, target_M)
        message_MHK = self._split(self.linear_msg(torch.cat([own_P2D[source_M], edge_MD], dim=1)))
        sent_MD = (message_MHK * alpha_MH[..., None].to(message_MHK.dtype)).flatten(1)
        return self.mlp(x_PD.new_zeros(x_PD.shape).to(sent_MD.dtype).index_add(0, target_M, sent_MD))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.head_width))


class NodeExtra(nn.Module):
    """[node type ; relevance score] of a node, half of the width each. Scores are 0 where none are given."""

    def __init__(self, *, width: int, node_types: int = 4) -> None:
        super().__init__()
        if width % 2:
            raise ConfigError(f"text graph: width is {width}; give an even number")
        self.emb_node_type = nn.Linear(node_types, width // 2)
        self.emb_score = nn.Linear(width // 2, width // 2)
        self.node_types = node_types

    def forward(self, kind_P: Tensor, score_P: Tensor | None = None) -> Tensor:
        hot = nn.functional.one_hot(kind_P, self.node_types).to(self.emb_node_type.weight.dtype)
        wave = torch.pow(1.1, torch.arange(self.emb_score.in_features, device=kind_P.device)).to(hot.dtype)
        score_P1 = hot.new_zeros(len(kind_P), 1) if score_P is None else score_P[:, None].to(hot.dtype)
        parts = (self.emb_node_type(hot), self.emb_score(torch.sin(wave * score_P1)))
        return torch.cat([nn.functional.gelu(part) for part in parts], dim=1)


class GraphPool(nn.Module):
    """Multi-head attention of a text vector over the concept nodes of its row: (V, D_text), (V, N, D) -> (V, D).

    A row without any concept node gets its context node.
    """

    def __init__(self, *, text_width: int, width: int, heads: int = 2) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"GraphPool: width {width} is no multiple of {heads} heads")
        self.heads = heads
        self.w_qs, self.w_ks, self.w_vs = (nn.Linear(inner, width) for inner in (text_width, width, width))

    def forward(self, query_VD: Tensor, x_VND: Tensor, allowed_VN: Tensor) -> Tensor:
        only_context_V1 = ~allowed_VN.any(dim=1, keepdim=True)
        allowed_VN = torch.cat([allowed_VN[:, :1] | only_context_V1, allowed_VN[:, 1:]], dim=1)
        query_VHK = self.w_qs(query_VD).unflatten(-1, (self.heads, -1))
        key_VNHK, value_VNHK = (w(x_VND).unflatten(-1, (self.heads, -1)) for w in (self.w_ks, self.w_vs))
        score_VHN = torch.einsum("vhk,vnhk->vhn", query_VHK, key_VNHK).float() / math.sqrt(query_VHK.shape[-1])
        alpha_VHN = score_VHN.masked_fill(~allowed_VN[:, None], -torch.inf).softmax(dim=-1)
        return torch.einsum("vhn,vnhk->vhk", alpha_VHN.to(value_VNHK.dtype), value_VNHK).flatten(1)
