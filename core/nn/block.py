"""The pre-norm transformer block, split in its attention half and its feed-forward half.

The split is what lets adapters, bridges and in-backbone fusion act between the halves without a fork.
Shape legend: B = rows, N = tokens, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn.attention import SelfAttention


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): drops a residual branch per row, and scales the kept ones by 1/(1-p)."""

    def __init__(self, *, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ConfigError(f"DropPath: rate is {rate}; give a value in [0, 1)")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        keep = torch.empty((len(x),) + (1,) * (x.ndim - 1), dtype=x.dtype, device=x.device).bernoulli_(1.0 - self.rate)
        return x * keep / (1.0 - self.rate)


class FeedForward(nn.Sequential):
    """Linear, GELU, dropout, Linear, dropout; hidden width in units (`hidden`)."""

    def __init__(self, *, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.Dropout(dropout)
        )


class TransformerBlock(nn.Module):
    """h = x + MHA(LN x); y = h + FFN(LN h) (pre-norm, Xiong et al. 2020; Dosovitskiy et al. 2021, eq. 2-3)."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.attn_norm = nn.LayerNorm(width)
        self.attn = SelfAttention(width=width, heads=heads, causal=causal)
        self.attn_dropout = nn.Dropout(dropout)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width=width, hidden=int(width * mlp_ratio), dropout=dropout)
        self.drop_path = DropPath(rate=drop_path)

    def attn_half(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """x + MHA(LN x), (B, N, D)."""
        return x_BND + self.drop_path(self.attn_dropout(self.attn(self.attn_norm(x_BND), mask_BN)))

    def ffn_half(self, x_BND: Tensor) -> Tensor:
        """x + FFN(LN x), (B, N, D)."""
        return x_BND + self.drop_path(self.ffn(self.ffn_norm(x_BND)))

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        return self.ffn_half(self.attn_half(x_BND, mask_BN))


def blocks(
    *,
    depth: int,
    width: int,
    heads: int,
    mlp_ratio: float = 4.0,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    causal: bool = False,
) -> nn.ModuleList:
    """`depth` blocks whose drop-path rate grows linearly from 0 to `drop_path`."""
    if depth < 1:
        raise ConfigError(f"depth is {depth}; a transformer needs at least one block")
    return nn.ModuleList(
        TransformerBlock(
            width=width,
            heads=heads,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            drop_path=drop_path * i / max(depth - 1, 1),
            causal=causal,
        )
        for i in range(depth)
    )


def init_transformer(module: nn.Module) -> None:
    """Normal(0, 0.02) truncated at two deviations for Linear and Embedding weights, zero biases (BERT, ViT)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02, a=-0.04, b=0.04)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=0.02, a=-0.04, b=0.04)
