"""Exact width growth of the parts of a transformer: what is repeated, and what is split into shares.

Shape legend: D = width before, r = factor, H = heads, K = width of a head, P = positions in front of the channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.encoders.image import ImageTransformer
from core.encoders.text import TextTransformer
from core.encoders.transformer import TransformerEncoder
from core.encoders.volume import VolumeTransformer
from core.errors import ConfigError
from core.models.projection import LinearProjection, MLPProjection, StandardisedProjection
from core.nn import (
    AttentionPool,
    ClsPool,
    LastPool,
    LearnedPositions,
    MaxPool,
    MeanMaxPool,
    MeanPool,
    PatchEmbed,
    Pooling,
    TransformerBlock,
)

UNEVEN = 0.5  # how far shares of a split weight may lie from 1/r, as a part of it
WITHOUT_WEIGHTS = (MeanPool, MaxPool, ClsPool, LastPool)


class _Widener:
    """Repeats and splits along one axis. index: position in the old axis of each position in the new one."""

    def __init__(self, factor: int, generator: torch.Generator) -> None:
        self.factor, self.generator = factor, generator

    def channels(self, width: int) -> Tensor:
        """Each channel r times in a row, which keeps the order of groups of channels."""
        return torch.arange(width).repeat_interleave(self.factor)

    def heads(self, width: int, heads: int) -> Tensor:
        """Each head r times as a whole."""
        return torch.arange(width).view(heads, -1).repeat_interleave(self.factor, dim=0).flatten()

    def repeat(self, x: Tensor, index: Tensor, dim: int) -> Tensor:
        return x.index_select(dim, index.to(x.device)).contiguous()

    def split(self, weight: Tensor, index: Tensor) -> Tensor:
        """(out, in) -> (out, r in): the copies of an input get unequal shares that sum to its weight."""
        noise_N = torch.rand(len(index), generator=self.generator, dtype=torch.float64) - 0.5
        mean_D = torch.zeros(int(index.max()) + 1, dtype=torch.float64).index_add_(0, index, noise_N) / self.factor
        share_N = (1 + UNEVEN * (noise_N - mean_D[index])) / self.factor
        return (self.repeat(weight, index, 1).double() * share_N.to(weight.device)).to(weight.dtype)


def _set(module: nn.Module, name: str, value: Tensor) -> None:
    old = getattr(module, name)
    if isinstance(old, nn.Parameter):
        setattr(module, name, nn.Parameter(value, requires_grad=old.requires_grad))
    else:
        setattr(module, name, value)


def _linear(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    assert isinstance(layer, nn.Linear)
    _set(layer, "weight", weight)
    if bias is not None:
        _set(layer, "bias", bias)
    layer.out_features, layer.in_features = weight.shape


def _norm(layer: nn.Module, w: _Widener) -> None:
    assert isinstance(layer, nn.LayerNorm)
    index = w.channels(len(layer.weight))
    _set(layer, "weight", w.repeat(layer.weight.detach(), index, 0))
    _set(layer, "bias", w.repeat(layer.bias.detach(), index, 0))
    layer.normalized_shape = (len(index),)


@torch.no_grad()
def widen_encoder(encoder: TransformerEncoder, factor: int, generator: torch.Generator) -> None:
    """Repeat every channel of the residual stream `factor` times, in place; the pooled vector is repeated likewise.

    Raises ConfigError, before anything is changed, for a part that cannot be widened exactly.
    """
    _check(encoder)
    w, width = _Widener(factor, generator), encoder.width
    index = w.channels(width)
    for block in encoder.blocks:
        assert isinstance(block, TransformerBlock)
        _widen_block(block, w, width)
    _norm(encoder.norm, w)
    _widen_pool(encoder.pool, w, width)
    if isinstance(encoder, TextTransformer):
        embedding = encoder.token_embedding
        _set(embedding, "weight", w.repeat(embedding.weight.detach(), index, 1))
        embedding.embedding_dim = len(index)
    else:
        assert isinstance(encoder, (ImageTransformer, VolumeTransformer))
        if encoder.class_token is not None:
            _set(encoder, "class_token", w.repeat(encoder.class_token.detach(), index, 2))
        conv = encoder.stem.project
        assert isinstance(conv, nn.modules.conv._ConvNd)
        assert conv.bias is not None
        _set(conv, "weight", w.repeat(conv.weight.detach(), index, 0))
        _set(conv, "bias", w.repeat(conv.bias.detach(), index, 0))
        conv.out_channels, encoder.stem.width = len(index), len(index)
    positions = encoder.positions
    assert isinstance(positions, LearnedPositions)
    _set(positions, "table", w.repeat(positions.table.detach(), index, 1))
    positions.width = encoder.width = len(index)
    encoder.pyramid_channels = (encoder.width,) if encoder.dense else ()


def _widen_block(block: TransformerBlock, w: _Widener, width: int) -> None:
    channels, attn = w.channels(width), block.attn
    heads = w.heads(width, attn.heads)
    qkv_heads = torch.cat([heads + part * width for part in range(3)])
    for norm in (block.attn_norm, block.ffn_norm):
        _norm(norm, w)
    _linear(
        attn.qkv,
        w.split(w.repeat(attn.qkv.weight, qkv_heads, 0), channels),
        w.repeat(attn.qkv.bias, qkv_heads, 0),
    )
    _linear(
        attn.out,
        w.split(w.repeat(attn.out.weight, channels, 0), heads),
        w.repeat(attn.out.bias, channels, 0),
    )
    attn.heads *= w.factor
    first, second = block.ffn[0], block.ffn[3]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    hidden = w.channels(first.out_features)
    _linear(first, w.split(w.repeat(first.weight, hidden, 0), channels), w.repeat(first.bias, hidden, 0))
    _linear(second, w.split(w.repeat(second.weight, channels, 0), hidden), w.repeat(second.bias, channels, 0))


def _widen_pool(pool: Pooling, w: _Widener, width: int) -> None:
    if isinstance(pool, MeanMaxPool):
        _set(pool, "gate", w.repeat(pool.gate.detach(), w.channels(width), 0))
    elif isinstance(pool, AttentionPool):
        _linear(pool.hidden, w.split(pool.hidden.weight, w.channels(width)), None)


@torch.no_grad()
def widen_projection(projection: nn.Module, factor: int, generator: torch.Generator) -> None:
    """Let a projection read the repeated pooled vector, in place. Raises ConfigError for one it does not know."""
    w = _Widener(factor, generator)
    layer = projection.layers[0] if isinstance(projection, MLPProjection) else getattr(projection, "linear", None)
    if not isinstance(projection, (LinearProjection, MLPProjection, StandardisedProjection)):
        raise ConfigError(f"grow: the projection is a {type(projection).__name__}; its width cannot be grown exactly")
    assert isinstance(layer, nn.Linear)
    index = w.channels(layer.in_features)
    _linear(layer, w.split(layer.weight, index), None)
    if isinstance(projection, StandardisedProjection):
        norm = projection.norm
        for name in ("running_mean", "running_var"):
            _set(norm, name, w.repeat(getattr(norm, name), index, 0))
        norm.num_features = len(index)


def _check(encoder: TransformerEncoder) -> None:
    who = f"grow: {type(encoder).__name__}"
    if not isinstance(encoder, (TextTransformer, ImageTransformer, VolumeTransformer)):
        raise ConfigError(f"{who} has an embedding of its own; its width cannot be grown exactly")
    positions = getattr(encoder, "positions", None)
    if not isinstance(positions, LearnedPositions):
        raise ConfigError(
            f"{who} has {type(positions).__name__}: fixed sines of another width are other sines, so the function "
            "would change; use LearnedPositions, or grow depth only"
        )
    stem = getattr(encoder, "stem", None)
    if stem is not None and (type(stem) is not PatchEmbed or not isinstance(stem.project, nn.modules.conv._ConvNd)):
        raise ConfigError(f"{who} has a {type(stem).__name__}; only the plain PatchEmbed grows exactly")
    if not isinstance(encoder.pool, (*WITHOUT_WEIGHTS, MeanMaxPool, AttentionPool)):
        raise ConfigError(f"{who} has a {type(encoder.pool).__name__}, which cannot be grown exactly; use MeanPool")
