"""One modality asks, the other answers: the interaction encoder of IRRA (Jiang and Ye 2023).

Shape legend: V = rows, N, M = tokens of the asking and of the answering stream, D = width of the fusion.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from core.errors import ConfigError
from core.fusion.base import Fused, Fusion
from core.nn import CrossAttention, MeanPool, blocks, init_transformer
from core.types import Tokens


class QueryFusion(Fusion):
    """x = MHA(LN asking, LN answering), then `depth` transformer blocks and a norm; no residual around the attention.

    inputs: modality -> width of its tokens; the first asks, the second answers and passes through unchanged but for
    its projection. joint: mean of the asking stream's real tokens, (V, width).
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        inputs: dict[str, int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(inputs) != 2:
            raise ConfigError(
                f"QueryFusion: inputs names {len(inputs)} modalities ({', '.join(inputs)}); give two, the asking one "
                "first"
            )
        self.inputs, self.depth, self.joint_width = dict(inputs), depth, width
        self.projections = nn.ModuleDict({name: nn.Linear(size, width) for name, size in inputs.items()})
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in inputs})
        self.attn = CrossAttention(width=width, heads=heads)
        self.blocks = blocks(depth=depth, width=width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)
        self.norm = nn.LayerNorm(width)
        self.mean = MeanPool()
        init_transformer(self)

    def forward(
        self, streams: Mapping[str, Tokens], *, want: Collection[int] = (), stop_after: int | None = None
    ) -> Fused:
        self.check_streams(streams)
        last = self.depth - 1 if stop_after is None else stop_after
        for layer in (last, *want):
            if not 0 <= layer <= min(last, self.depth - 1):
                raise ConfigError(
                    f"QueryFusion has layers 0 to {self.depth - 1} and runs up to {last}; layer {layer} was asked for"
                )
        asking, answering = self.inputs
        entered = {name: self.norms[name](self.projections[name](streams[name].x)) for name in self.inputs}
        x_VND = self.attn(entered[asking], entered[answering], streams[answering].mask)
        kept: dict[int, dict[str, Tensor]] = {}
        for i in range(last + 1):
            x_VND = self.blocks[i](x_VND, streams[asking].mask)
            if i in want:
                kept[i] = {asking: x_VND, answering: entered[answering]}
        ends = {asking: self.norm(x_VND), answering: entered[answering]}
        out = {
            name: Tokens(x=h, mask=streams[name].mask, grid=streams[name].grid, prefix=streams[name].prefix)
            for name, h in ends.items()
        }
        pooled = {name: self.mean(tokens.x, tokens.mask) for name, tokens in out.items()}
        return Fused(streams=out, pooled=pooled, joint=pooled[asking], layers=kept)
