"""Blocks that read another sequence, and queries that are learned.

Shape legend: B = rows, N = tokens that ask, M = tokens that answer, Q = learned queries, D, C = widths of the two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn.attention import CrossAttention, SelfAttention
from core.nn.block import FeedForward


class CrossBlock(nn.Module):
    """h = x + MHA(LN x, LN context); y = h + FFN(LN h): the first of a decoder of MultiMAE (Bachmann et al. 2022)."""

    def __init__(
        self, *, width: int, heads: int, context_width: int | None = None, mlp_ratio: float = 4.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        context_width = width if context_width is None else context_width
        self.query_norm, self.context_norm = nn.LayerNorm(width), nn.LayerNorm(context_width)
        self.attn = CrossAttention(width=width, heads=heads, context_width=context_width)
        self.attn_dropout = nn.Dropout(dropout)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width=width, hidden=int(width * mlp_ratio), dropout=dropout)

    def forward(self, x_BND: Tensor, context_BMC: Tensor, mask_BM: Tensor | None = None) -> Tensor:
        """mask_BM: bool, True = real, or (B, N, M) -> (B, N, D)."""
        read_BND = self.attn(self.query_norm(x_BND), self.context_norm(context_BMC), mask_BM)
        h_BND = x_BND + self.attn_dropout(read_BND)
        return h_BND + self.ffn(self.ffn_norm(h_BND))


class DecoderBlock(nn.Module):
    """Self-attention, attention to the context, feed-forward, all pre-norm (Vaswani et al. 2017, sec. 3.1)."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        context_width: int | None = None,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        causal: bool = False,
    ) -> None:
        """causal: token n sees tokens 0..n of its own sequence."""
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attn = SelfAttention(width=width, heads=heads, causal=causal)
        self.self_dropout = nn.Dropout(dropout)
        self.cross = CrossBlock(
            width=width, heads=heads, context_width=context_width, mlp_ratio=mlp_ratio, dropout=dropout
        )

    def forward(
        self,
        x_BND: Tensor,
        context_BMC: Tensor,
        mask_BN: Tensor | None = None,
        context_mask_BM: Tensor | None = None,
    ) -> Tensor:
        """mask_BN: real tokens, or (B, N, N) of what each may see. context_mask_BM: real tokens of the context."""
        x_BND = x_BND + self.self_dropout(self.self_attn(self.self_norm(x_BND), mask_BN))
        return self.cross(x_BND, context_BMC, context_mask_BM)


class QueryPool(nn.Module):
    """`queries` learned vectors attend to a sequence: attentional pooling (Yu et al. 2022, CoCa; Lee et al. 2019).

    y = LN(MHA(q, LN x)), (B, M, C) -> (B, Q, D). A row without any real token gives LN of the output bias, never NaN.
    """

    def __init__(self, *, width: int, heads: int, queries: int, context_width: int | None = None) -> None:
        super().__init__()
        if queries < 1:
            raise ConfigError(f"QueryPool: queries is {queries}; give a positive count")
        context_width = width if context_width is None else context_width
        self.width = width
        self.queries = nn.Parameter(torch.randn(queries, width) * width**-0.5)
        self.context_norm = nn.LayerNorm(context_width)
        self.attn = CrossAttention(width=width, heads=heads, context_width=context_width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BMC: Tensor, mask_BM: Tensor | None = None) -> Tensor:
        asked_BQD = self.queries.to(x_BMC.dtype).expand(len(x_BMC), -1, -1)
        return self.norm(self.attn(asked_BQD, self.context_norm(x_BMC), mask_BM))
