"""Learned queries that read a sequence through several blocks: the Q-Former (Li et al. 2023, BLIP-2).

Shape legend: B = rows, Q = queries, M = tokens read, D, C = widths of the queries and of what they read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn.block import TransformerBlock, init_transformer
from core.nn.decoder import DecoderBlock


class QueryFormer(nn.Module):
    """`depth` blocks over `queries` learned vectors; every `cross_every`-th one, from the first on, also reads.

    (B, M, C), mask (B, M) -> (B, Q, D). Pre-norm, where BLIP-2 starts from a post-norm BERT. A row without any real
    token gives what the queries are by themselves.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        queries: int,
        context_width: int | None = None,
        cross_every: int = 2,
    ) -> None:
        super().__init__()
        if queries < 1 or depth < 1 or cross_every < 1:
            raise ConfigError(f"QueryFormer: queries {queries}, depth {depth}, cross_every {cross_every}; all positive")
        self.width, self.count = width, queries
        self.context_width = width if context_width is None else context_width
        self.blocks = nn.ModuleList(
            DecoderBlock(width=width, heads=heads, context_width=self.context_width)
            if i % cross_every == 0
            else TransformerBlock(width=width, heads=heads)
            for i in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        init_transformer(self)
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)

    def forward(self, context_BMC: Tensor, mask_BM: Tensor | None = None) -> Tensor:
        x_BQD = self.queries.to(context_BMC.dtype).expand(len(context_BMC), -1, -1)
        for block in self.blocks:
            if isinstance(block, DecoderBlock):
                x_BQD = block(x_BQD, context_BMC, None, mask_BM)
            else:
                x_BQD = block(x_BQD)
        return self.norm(x_BQD)
