"""The upper layers of a text encoder, which also look at other modalities (ALBEF, Li 2021; MolFM, Luo 2023).

Shape legend: V = rows, N = tokens of the asking stream, M = tokens of all answering streams, D = width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.fusion.base import Fused, Fusion
from core.fusion.co_attention import CoAttentionLayer
from core.nn import ClsPool, MeanPool, init_transformer
from core.types import Tokens


class CrossEncoder(Fusion):
    """The first of `inputs` asks; all others answer, each through a linear map to `width`, as one sequence of keys.

    A layer is post-norm: self-attention among the asking tokens, attention to the answers, feed-forward. joint: the
    first asking token where the stream has a prefix (a class token), else the mean of the real ones, (V, width).
    Answers pass through unchanged but for their map.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        inputs: dict[str, int],
        optional: list[str] | None = None,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        norm_eps: float = 1e-12,
    ) -> None:
        """inputs: modality -> width of its tokens; the asking one enters as it is, so that its width is `width`.
        optional: answering modalities that a call may leave out; a row that lacks one masks all of its tokens.
        norm_eps: of the layer norms (BERT: 1e-12)."""
        super().__init__()
        self.inputs, self.depth, self.joint_width = dict(inputs), depth, width
        self.optional = tuple(optional or ())
        if depth < 1 or len(inputs) < 2:
            raise ConfigError(
                f"CrossEncoder: depth {depth} and {len(inputs)} inputs; give 1 layer and 2 inputs or more"
            )
        self.asking, *answering = self.inputs
        if inputs[self.asking] != width:
            raise ConfigError(
                f"CrossEncoder: '{self.asking}' asks with tokens of width {inputs[self.asking]}; set width to that"
            )
        unknown = sorted(set(self.optional) - set(answering))
        if unknown:
            raise ConfigError(f"CrossEncoder: optional names {', '.join(unknown)}; valid: {', '.join(answering)}")
        self.projections = nn.ModuleDict({name: nn.Linear(inputs[name], width) for name in answering})
        self.layers = nn.ModuleList(
            CoAttentionLayer(width=width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout) for _ in range(depth)
        )
        for part in self.layers.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = norm_eps
        self.first, self.mean = ClsPool(), MeanPool()
        init_transformer(self)

    def forward(
        self, streams: Mapping[str, Tokens], *, want: Collection[int] = (), stop_after: int | None = None
    ) -> Fused:
        last = self.depth - 1 if stop_after is None else stop_after
        for layer in (last, *want):
            if not 0 <= layer <= min(last, self.depth - 1):
                raise ConfigError(
                    f"CrossEncoder has layers 0 to {self.depth - 1} and runs up to {last}; layer {layer} was asked for"
                )
        answers, x_VMD, mask_VM = self._answers(streams)
        asking = streams[self.asking]
        h_VND = asking.x
        kept: dict[int, dict[str, Tensor]] = {}
        for i in range(last + 1):
            h_VND = self.layers[i](h_VND, x_VMD, asking.mask, mask_VM)
            if i in want:
                kept[i] = {self.asking: h_VND, **{name: tokens.x for name, tokens in answers.items()}}
        out = Tokens(x=h_VND, mask=asking.mask, grid=asking.grid, prefix=asking.prefix)
        pool = self.first if asking.prefix > 0 else self.mean
        joint = pool(h_VND, asking.mask, asking.prefix)
        pooled = {name: self.mean(tokens.x, tokens.mask) for name, tokens in answers.items()}
        return Fused(
            streams={self.asking: out, **answers}, pooled={self.asking: joint, **pooled}, joint=joint, layers=kept
        )

    def attention(self, streams: Mapping[str, Tokens], *, layer: int = -1) -> dict[str, Tensor]:
        """What the asking tokens look at in a layer, mean over heads: modality -> (V, N, its tokens), float32. Weights
        of the asking modality itself sum to 1 over its tokens, those of all answering ones together to 1."""
        answers, x_VMD, mask_VM = self._answers(streams)
        asking = streams[self.asking]
        h_VND, last = asking.x, layer % self.depth
        for i in range(last):
            h_VND = self.layers[i](h_VND, x_VMD, asking.mask, mask_VM)
        block = cast(CoAttentionLayer, self.layers[last])
        own_VNN = block.self_attn.weights(h_VND, asking.mask).mean(dim=1)
        a_VND = block.self_norm(h_VND + block.self_attn(h_VND, asking.mask))
        cross_VNM = block.cross_attn.weights(a_VND, x_VMD, mask_VM).mean(dim=1)
        parts = cross_VNM.split([tokens.x.shape[1] for tokens in answers.values()], dim=-1)
        return {self.asking: own_VNN, **dict(zip(answers, parts, strict=True))}

    def _answers(self, streams: Mapping[str, Tokens]) -> tuple[dict[str, Tokens], Tensor, Tensor | None]:
        """Projected answering streams, and the same as one sequence with its mask."""
        self.check_streams(streams, self.optional)
        answers = {
            name: Tokens(x=linear(streams[name].x), mask=streams[name].mask, grid=streams[name].grid)
            for name, linear in self.projections.items()
            if name in streams
        }
        if not answers:
            raise ConfigError(
                f"CrossEncoder: nothing answers '{self.asking}'; give one of {', '.join(self.projections)}"
            )
        x_VMD = torch.cat([tokens.x for tokens in answers.values()], dim=1)
        if all(tokens.mask is None for tokens in answers.values()):
            return answers, x_VMD, None
        masks = [
            torch.ones(t.x.shape[:2], dtype=torch.bool, device=t.x.device) if t.mask is None else t.mask
            for t in answers.values()
        ]
        return answers, x_VMD, torch.cat(masks, dim=1)
