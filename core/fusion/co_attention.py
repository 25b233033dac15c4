"""Co-attention fusion encoder of METER (Dou et al. 2022), as M3AE (Chen et al. 2022) uses it.

Shape legend: V = rows, N, M = tokens of the stream and of the other stream, D = width of the fusion.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.fusion.base import Fused, Fusion
from core.nn import ClsPool, CrossAttention, FeedForward, MeanPool, SelfAttention, init_transformer
from core.types import Tokens


class CoAttentionLayer(nn.Module):
    """One stream's half of a layer, post-norm: self-attention, attention to the other stream, feed-forward.

    a = LN(x + MHA(x, x)); b = LN(a + MHA(a, other)); y = LN(b + FFN(b)).
    """

    def __init__(self, *, width: int, heads: int, mlp_ratio: float = 4.0, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width=width, heads=heads, dropout=dropout)
        self.cross_attn = CrossAttention(width=width, heads=heads, dropout=dropout)
        self.ffn = FeedForward(width=width, hidden=int(width * mlp_ratio), dropout=dropout)
        self.self_norm, self.cross_norm, self.ffn_norm = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x_VND: Tensor, other_VMD: Tensor, mask_VN: Tensor | None = None, other_mask_VM: Tensor | None = None
    ) -> Tensor:
        a_VND = self.self_norm(x_VND + self.dropout(self.self_attn(x_VND, mask_VN)))
        b_VND = self.cross_norm(a_VND + self.dropout(self.cross_attn(a_VND, other_VMD, other_mask_VM)))
        return self.ffn_norm(b_VND + self.ffn(b_VND))


class TanhPooler(nn.Module):
    """tanh(W h) with h the class token of a stream, or the mean of its real tokens where it has none (BERT)."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.first, self.mean = ClsPool(), MeanPool()
        self.linear = nn.Linear(width, width)

    def forward(self, tokens: Tokens) -> Tensor:
        pool = self.first if tokens.prefix > 0 else self.mean
        return self.linear(pool(tokens.x, tokens.mask, tokens.prefix)).tanh()


class CoAttention(Fusion):
    """Two streams, each projected to `width` and marked with its modality's embedding, through `depth` layers.

    inputs: modality -> width of its encoder's tokens; exactly two. Both halves of a layer read the other stream as it
    was before the layer, so the update is parallel and swapping the modalities swaps the results.
    joint: the two pooled vectors one behind the other, (V, 2 width), in the order of `inputs`. With `stop_after` it is
    pooled from the last layer that ran. Raises ConfigError unless two modalities are given.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        inputs: dict[str, int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if len(inputs) != 2:
            raise ConfigError(f"CoAttention: inputs names {len(inputs)} modalities ({', '.join(inputs)}); give two")
        if depth < 1:
            raise ConfigError(f"CoAttention: depth is {depth}; give at least 1")
        self.inputs, self.depth, self.joint_width = dict(inputs), depth, 2 * width
        self.projections = nn.ModuleDict({name: nn.Linear(size, width) for name, size in inputs.items()})
        self.type_embeddings = nn.Embedding(2, width)
        self.layers = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    CoAttentionLayer(width=width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)
                    for _ in range(depth)
                )
                for name in inputs
            }
        )
        self.poolers = nn.ModuleDict({name: TanhPooler(width=width) for name in inputs})
        init_transformer(self)

    def forward(
        self, streams: Mapping[str, Tokens], *, want: Collection[int] = (), stop_after: int | None = None
    ) -> Fused:
        self.check_streams(streams)
        last = self.depth - 1 if stop_after is None else stop_after
        for layer in (last, *want):
            if not 0 <= layer <= min(last, self.depth - 1):
                raise ConfigError(
                    f"CoAttention has layers 0 to {self.depth - 1} and runs up to {last}; layer {layer} was asked for"
                )
        one, two = self.inputs
        x, y = (self._enter(i, name, streams[name].x) for i, name in enumerate(self.inputs))
        x_mask, y_mask = streams[one].mask, streams[two].mask
        kept: dict[int, dict[str, Tensor]] = {}
        for i in range(last + 1):
            x, y = self._layer(one, i)(x, y, x_mask, y_mask), self._layer(two, i)(y, x, y_mask, x_mask)
            if i in want:
                kept[i] = {one: x, two: y}
        out = {
            name: Tokens(x=h, mask=streams[name].mask, grid=streams[name].grid, prefix=streams[name].prefix)
            for name, h in ((one, x), (two, y))
        }
        pooled = {name: self.poolers[name](tokens) for name, tokens in out.items()}
        return Fused(streams=out, pooled=pooled, joint=torch.cat(list(pooled.values()), dim=-1), layers=kept)

    def _enter(self, index: int, name: str, x_VND: Tensor) -> Tensor:
        return self.projections[name](x_VND) + self.type_embeddings.weight[index]

    def _layer(self, name: str, i: int) -> nn.Module:
        return self.layers[name][i]  # type: ignore[index]
