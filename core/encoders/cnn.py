"""Convolutional encoders through timm.

Shape legend: V = rows, C = channels, H, W = pixels, h, w = cells of a feature map, N = tokens, D = width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError, nearest
from core.nn import BatchNormPerKind, MeanPool, Pooling, group_norm
from core.types import Encoded, ModalityInput, Tokens


class ConvNet(Encoder):
    """Images (V, C, H, W) -> pooled vector, the last map as tokens, and every stage's map as the pyramid.

    name: any CNN of timm that gives feature maps (resnet18, resnet50, convnext_atto, ...). options: further arguments
    of that timm model, for instance {"channels": [32, 64, 128, 256], "layers": [1, 1, 1, 1]} for a narrow resnet or
    {"dims": ..., "depths": ...} for a convnext. pool: over the cells of the last map, mean when None.
    norm: "group" replaces batch norm by group norm, 16 channels a group (Wu and He 2018; widths that are multiples of
    16 are the fastest), which mixes no rows; "per_kind" by batch norm with statistics of its own for pictures and for
    slices of volumes, which learns faster in short runs; "own" keeps what the timm model has, as pretrained weights
    need. Tokens and vector go through a last LayerNorm of this class.
    Raises ConfigError for a name or option that timm does not know.
    """

    def __init__(
        self,
        *,
        name: str = "resnet18",
        channels: int = 3,
        pretrained: bool = False,
        norm: Literal["group", "per_kind", "own"] = "group",
        pool: Pooling | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.body = _timm_features(name, channels, pretrained, options or {})
        if norm != "own":
            changed = _replace_batch_norm(self.body, group_norm if norm == "group" else _per_kind)
            if changed and pretrained:
                raise ConfigError(f"ConvNet: pretrained weights of {name} need its batch norm; set norm: own")
        self.pyramid_channels = tuple(self.body.feature_info.channels())  # type: ignore[union-attr, operator]
        self.strides = tuple(self.body.feature_info.reduction())  # type: ignore[union-attr, operator]
        self.channels = channels
        self.width = self.pyramid_channels[-1]
        self.norm = nn.LayerNorm(self.width)
        self.pool = MeanPool() if pool is None else pool
        self.body.to(memory_format=torch.channels_last)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        pyramid = list(self.body(inp.x.contiguous(memory_format=torch.channels_last)))
        last = pyramid[-1]
        cells_VND = last.flatten(2).transpose(1, 2)
        return Encoded(
            pooled=self.norm(self.pool(cells_VND)),
            tokens=Tokens(x=self.norm(cells_VND), grid=tuple(last.shape[2:])),
            pyramid=pyramid,
        )


def _timm_features(name: str, channels: int, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise ConfigError(f"ConvNet: timm has no model {name!r}{nearest(name, timm.list_models())}")
    try:
        return timm.create_model(name, pretrained=pretrained, features_only=True, in_chans=channels, **options)
    except (TypeError, RuntimeError, AttributeError, AssertionError) as err:
        raise ConfigError(f"ConvNet: timm cannot build {name} as feature maps with options {options}: {err}") from err


def _per_kind(channels: int, *, eps: float) -> nn.Module:
    return BatchNormPerKind(channels=channels, eps=eps)


def _replace_batch_norm(module: nn.Module, make: Callable[..., nn.Module]) -> int:
    """Replace every batch norm in place, keeping scale, shift and the activation timm fuses into it; how many."""
    from timm.layers import BatchNormAct2d

    count = 0
    for name, child in module.named_children():
        if not isinstance(child, nn.BatchNorm2d):
            count += _replace_batch_norm(child, make)
            continue
        norm: nn.Module = make(child.num_features, eps=child.eps)
        with torch.no_grad():
            norm.weight.copy_(child.weight)  # type: ignore[operator]
            norm.bias.copy_(child.bias)  # type: ignore[operator]
        if isinstance(child, BatchNormAct2d):
            norm = nn.Sequential(norm, child.drop, child.act)
        setattr(module, name, norm)
        count += 1
    return count
