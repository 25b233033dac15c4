"""A text encoder with the arithmetic of BERT (Devlin et al. 2019): norms behind the residual sums, and no last one.

Shape legend: V = rows, T = tokens, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.encoders.base import BlockContext, SteppableEncoder
from core.errors import ConfigError, DataError
from core.nn import ClsPool, FeedForward, Pooling, SelfAttention, init_transformer
from core.types import Encoded, ModalityInput, Tokens


class PostNormBlock(nn.Module):
    """a = LN(x + MHA(x)); y = LN(a + FFN(a))."""

    def __init__(self, *, width: int, heads: int, mlp_ratio: float, dropout: float, norm_eps: float) -> None:
        super().__init__()
        self.attn = SelfAttention(width=width, heads=heads, dropout=dropout)
        self.attn_norm, self.ffn_norm = (nn.LayerNorm(width, eps=norm_eps) for _ in range(2))
        self.ffn = FeedForward(width=width, hidden=int(width * mlp_ratio), dropout=dropout)
        self.dropout = nn.Dropout(dropout)


class PostNormText(SteppableEncoder):
    """Token ids (V, T) int64, mask (V, T) -> tokens and pooled vector: for weights that were trained in BERT's form.

    Words, positions and the first token type are summed and normed before the first block. pool: the first token when
    None. prefix, embedding_std: as in `TextTransformer`. Raises DataError for a sequence longer than max_length.
    """

    norm: nn.Module

    def __init__(
        self,
        *,
        vocab_size: int,
        max_length: int = 512,
        width: int = 768,
        depth: int = 6,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        token_types: int = 2,
        prefix: int = 1,
        pool: Pooling | None = None,
        embedding_std: float = 0.02,
        norm_eps: float = 1e-12,
    ) -> None:
        super().__init__()
        if min(vocab_size, max_length, depth, token_types) < 1 or not 0 <= prefix < max_length:
            raise ConfigError(
                f"PostNormText: vocab_size {vocab_size}, max_length {max_length}, depth {depth}, token_types "
                f"{token_types} and prefix {prefix}; all positive, and prefix from 0 to below max_length"
            )
        self.vocab_size, self.max_length, self.prefix = vocab_size, max_length, prefix
        self.width, self.depth = width, depth
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(max_length, width)
        self.type_embedding = nn.Embedding(token_types, width)
        self.embedding_norm = nn.LayerNorm(width, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            PostNormBlock(width=width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout, norm_eps=norm_eps)
            for _ in range(depth)
        )
        self.norm = nn.Identity()
        self.pool = ClsPool() if pool is None else pool
        init_transformer(self)
        with torch.no_grad():
            self.token_embedding.weight.mul_(embedding_std / 0.02)

    def embed(self, inp: ModalityInput) -> Tokens:
        length = inp.x.shape[1]
        if length > self.max_length:
            raise DataError(
                f"PostNormText got {length} tokens, it takes up to {self.max_length}; "
                "raise max_length or let the processor truncate"
            )
        x_VTD = self.token_embedding(inp.x) + self.type_embedding.weight[0] + self.position_embedding.weight[:length]
        return Tokens(
            x=self.dropout(self.embedding_norm(x_VTD)), mask=inp.mask, grid=(length - self.prefix,), prefix=self.prefix
        )

    def attn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        block = self.blocks[i]
        assert isinstance(block, PostNormBlock)
        return block.attn_norm(h + block.dropout(block.attn(h, ctx.mask)))

    def ffn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        block = self.blocks[i]
        assert isinstance(block, PostNormBlock)
        return block.ffn_norm(h + block.ffn(h))

    def finish(self, h: Tensor, ctx: BlockContext) -> Encoded:
        tokens = Tokens(x=h, mask=ctx.mask, grid=ctx.grid if ctx.complete else None, prefix=ctx.prefix)
        return Encoded(pooled=self.pool(h, ctx.mask, ctx.prefix), tokens=tokens, layers=ctx.layers)
