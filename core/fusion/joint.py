"""One transformer over the tokens of all modalities (MultiMAE, Bachmann et al. 2022; 4M, Mizrahi et al. 2023).

Shape legend: V = rows, N = tokens of a stream, T = tokens of all streams, G = global tokens, D = width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.fusion.base import Fused, Fusion
from core.nn import MeanPool, blocks, init_transformer
from core.types import Tokens


class JointTransformer(Fusion):
    """Streams one behind the other, each projected to `width` and marked with its modality's embedding.

    Any number of modalities from one on. joint: mean of the global tokens after the last layer, or of all real tokens
    without any, (V, width). A stream may have tokens of padding, which nobody sees. pooled: mean of a stream's own.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        inputs: dict[str, int],
        global_tokens: int = 1,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        plain: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        """inputs: modality -> width of its encoder's tokens. global_tokens: trained tokens that belong to no
        modality. plain: as MultiMAE released it, tokens enter as they are, so that their bias alone tells the modality,
        and there is no last norm. norm_eps: of every layer norm (MultiMAE: 1e-6)."""
        super().__init__()
        if len(inputs) < 1 or global_tokens < 0:
            raise ConfigError(
                f"JointTransformer: {len(inputs)} inputs and {global_tokens} global tokens; needs one input at least"
            )
        self.inputs, self.width, self.depth, self.joint_width = dict(inputs), width, depth, width
        self.plain = plain
        if plain and any(size != width for size in inputs.values()):
            raise ConfigError(f"JointTransformer: plain needs inputs of width {width}, they are {inputs}")
        if not plain:
            self.projections = nn.ModuleDict({name: nn.Linear(size, width) for name, size in inputs.items()})
            self.type_embeddings = nn.Embedding(len(inputs), width)
        self.blocks = blocks(
            depth=depth, width=width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout, drop_path=drop_path
        )
        self.norm = nn.Identity() if plain else nn.LayerNorm(width)
        self.mean = MeanPool()
        for part in self.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = norm_eps
        init_transformer(self)
        self.global_tokens = nn.Parameter(torch.empty(global_tokens, width))
        nn.init.trunc_normal_(self.global_tokens, std=0.02)

    def enter(self, name: str, x_VND: Tensor) -> Tensor:
        """Tokens of a modality as the shared blocks take them."""
        if name not in self.inputs or x_VND.shape[-1] != self.inputs[name]:
            raise ConfigError(
                f"JointTransformer: tokens of '{name}' with width {x_VND.shape[-1]}; inputs are {self.inputs}"
            )
        if self.plain:
            return x_VND
        return self.projections[name](x_VND) + self.type_embeddings.weight[list(self.inputs).index(name)]

    def run(self, x_VTD: Tensor, mask_VT: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Entered tokens, in any order, through all blocks and the norm: (V, T, D) and the global ones (V, G, D)."""
        kept, ends = self._run(x_VTD, mask_VT, self.depth - 1, ())
        assert not kept
        return ends

    def forward(
        self, streams: Mapping[str, Tokens], *, want: Collection[int] = (), stop_after: int | None = None
    ) -> Fused:
        self.check_streams(streams)
        last = self.depth - 1 if stop_after is None else stop_after
        for layer in (last, *want):
            if not 0 <= layer <= min(last, self.depth - 1):
                raise ConfigError(
                    f"JointTransformer has layers 0 to {self.depth - 1} and runs up to {last}; layer {layer} was asked "
                    "for"
                )
        x_VTD = torch.cat([self.enter(name, streams[name].x) for name in self.inputs], dim=1)
        mask_VT = None
        if any(streams[name].mask is not None for name in self.inputs):
            mask_VT = torch.cat([_mask(streams[name]) for name in self.inputs], dim=1)
        kept, (x_VTD, global_VGD) = self._run(x_VTD, mask_VT, last, want)
        lengths = [streams[name].x.shape[1] for name in self.inputs]

        def cut(h_VTD: Tensor) -> dict[str, Tensor]:
            return dict(zip(self.inputs, h_VTD.split(lengths, dim=1), strict=True))

        out = {
            name: Tokens(x=h, mask=streams[name].mask, grid=streams[name].grid, prefix=streams[name].prefix)
            for name, h in cut(x_VTD).items()
        }
        joint = global_VGD.mean(1) if len(self.global_tokens) else self.mean(x_VTD, mask_VT)
        pooled = {name: self.mean(tokens.x, tokens.mask, tokens.prefix) for name, tokens in out.items()}
        return Fused(streams=out, pooled=pooled, joint=joint, layers={i: cut(h) for i, h in kept.items()})

    def _run(
        self, x_VTD: Tensor, mask_VT: Tensor | None, last: int, want: Collection[int]
    ) -> tuple[dict[int, Tensor], tuple[Tensor, Tensor]]:
        count = len(self.global_tokens)
        h = torch.cat([self.global_tokens.to(x_VTD.dtype).expand(len(x_VTD), -1, -1), x_VTD], dim=1)
        mask = None
        if mask_VT is not None:
            mask = torch.cat([mask_VT.new_ones(len(mask_VT), count), mask_VT], dim=1)
        kept: dict[int, Tensor] = {}
        for i in range(last + 1):
            h = self.blocks[i](h, mask)
            if i in want:
                kept[i] = h[:, count:]
        h = self.norm(h)
        return kept, (h[:, count:], h[:, :count])


def _mask(tokens: Tokens) -> Tensor:
    return (
        torch.ones(tokens.x.shape[:2], dtype=torch.bool, device=tokens.x.device) if tokens.mask is None else tokens.mask
    )
