"""The part that every token transformer of the suite shares: blocks, final norm, pooling, feature map.

Shape legend: V = rows, N = tokens, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.encoders.base import BlockContext, SteppableEncoder
from core.errors import ConfigError
from core.nn import Pooling, blocks
from core.types import Encoded, Tokens


class TransformerEncoder(SteppableEncoder):
    """Pre-norm blocks over whatever `embed` gives. Subclasses build their embedding and set `dense`.

    dense: whether the tokens lie on a spatial grid, so that they also serve as a one-level pyramid.
    """

    dense: bool = True

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        pool: Pooling,
        mlp_ratio: float,
        dropout: float,
        drop_path: float,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.width, self.depth, self.causal = width, depth, causal
        self.pyramid_channels = (width,) if self.dense else ()
        self.dropout = nn.Dropout(dropout)
        self.blocks = blocks(
            depth=depth,
            width=width,
            heads=heads,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            drop_path=drop_path,
            causal=causal,
        )
        self.norm = nn.LayerNorm(width)
        self.pool = pool

    def attn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        return self.blocks[i].attn_half(h, ctx.mask)  # type: ignore[operator]

    def ffn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        return self.blocks[i].ffn_half(h)  # type: ignore[operator]

    def finish(self, h: Tensor, ctx: BlockContext) -> Encoded:
        h = self.norm(h)
        grid = ctx.grid if ctx.complete else None
        pyramid = None
        if self.dense and grid is not None:
            pyramid = [h[:, ctx.prefix :].transpose(1, 2).unflatten(2, grid)]
        return Encoded(
            pooled=self.pool(h, ctx.mask, ctx.prefix),
            tokens=Tokens(x=h, mask=ctx.mask, grid=grid, prefix=ctx.prefix),
            layers=ctx.layers,
            pyramid=pyramid,
        )


def class_tokens(count: int, width: int) -> nn.Parameter | None:
    """(1, K, D) trained tokens for the front, drawn apart so that they learn different things; None for none."""
    if count < 0:
        raise ConfigError(f"class_token is {count}; give a number of tokens from 0 on")
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, count, width), std=0.02)) if count else None


def prepend_class(class_token: Tensor | None, x_VND: Tensor) -> Tensor:
    """x with the (1, K, D) class tokens in front of every row, or x when there are none."""
    if class_token is None:
        return x_VND
    return torch.cat([class_token.expand(len(x_VND), -1, -1).to(x_VND.dtype), x_VND], dim=1)
