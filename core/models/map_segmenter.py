"""Dense labelling of images: feature maps of one or several modalities and a decoder to pixels.

Shape legend: V = rows in which a modality is present, B = rows of the batch, C = channels, K = classes, H, W = pixels,
h, w = cells of a feature map, D = width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import Encoder
from core.encoders.several import MultimodalEncoder
from core.errors import ConfigError
from core.types import ModalityInput


class ConvNeXtBlock(nn.Module):
    """x + g * MLP(LN(7x7 depthwise convolution)), g = 1e-6 at the start, as published (Liu et al. 2022)."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x_BDhw: Tensor) -> Tensor:
        """(B, D, h, w) -> (B, D, h, w)."""
        h_BhwD = self.mlp(self.norm(self.spatial(x_BDhw).movedim(1, -1))) * self.scale
        return x_BDhw + h_BhwD.movedim(-1, 1)


class ConvNeXtDecoder(nn.Module):
    """Each token becomes cells x cells finer ones, ConvNeXt blocks join them, logits are interpolated to pixels.

    The dense head of MultiMAE (Bachmann et al. 2022, appendix), with its input standardised over the batch, which the
    paper's has not: the tokens of a young encoder differ little from place to place beside what they have in common.
    It reads the coarsest map of a pyramid and no pixels, so what it labels is what the encoder knows.
    """

    def __init__(self, *, classes: int, channels: int, width: int = 64, cells: int = 4, depth: int = 2) -> None:
        """classes: K. channels: D of the map. width: after splitting. cells: per token and axis. depth: blocks."""
        super().__init__()
        if min(classes, width, cells) < 1 or depth < 0:
            raise ConfigError(
                f"ConvNeXtDecoder: classes {classes}, width {width}, cells {cells}, depth {depth}; they are counts"
            )
        self.channels, self.classes = channels, classes
        self.standardise = nn.BatchNorm2d(channels)
        self._settings = {"classes": classes, "channels": channels, "width": width, "cells": cells, "depth": depth}
        self.split = nn.Sequential(nn.Conv2d(channels, width * cells * cells, 1), nn.PixelShuffle(cells))
        self.blocks = nn.Sequential(*(ConvNeXtBlock(width=width) for _ in range(depth)))
        self.logits = nn.Conv2d(width, classes, 1)

    def settings(self) -> dict[str, int]:
        """The arguments that make another one of these shapes."""
        return dict(self._settings)

    def features(self, pyramid: Sequence[Tensor]) -> Tensor:
        """pyramid: maps (B, D, h, w), the last one is read -> (B, width, h * cells, w * cells)."""
        features: Tensor = self.blocks(self.split(self.standardise(pyramid[-1])))
        return features

    def forward(self, pyramid: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """pyramid: maps (B, D, h, w), the last one is read -> (B, K, *size)."""
        logits = self.logits(self.features(pyramid))
        return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


class MapSegmenter(nn.Module):
    """Logits of every pixel. encoder: of one modality with a pyramid, or a `MultimodalEncoder` of several, any of
    which a row may lack. The pixels are those of the first modality; others may be coarser or finer pictures of its
    ground.
    """

    def __init__(self, *, encoder: Encoder, decoder: ConvNeXtDecoder, modalities: Sequence[str]) -> None:
        """modalities: names that inputs come by. Raises ConfigError when the encoder has no feature maps or others."""
        super().__init__()
        if not encoder.pyramid_channels:
            raise ConfigError(f"MapSegmenter: {type(encoder).__name__} gives no feature maps; use an image encoder")
        if encoder.pyramid_channels[-1] != decoder.channels:
            raise ConfigError(
                f"MapSegmenter: decoder.channels is {decoder.channels}, the encoder's coarsest map has "
                f"{encoder.pyramid_channels[-1]}"
            )
        if len(modalities) != 1 and not isinstance(encoder, MultimodalEncoder):
            raise ConfigError(f"MapSegmenter: {type(encoder).__name__} reads one modality, not {list(modalities)}")
        self.encoder, self.decoder, self.modalities = encoder, decoder, tuple(modalities)

    def forward(self, inputs: Mapping[str, ModalityInput], present: Mapping[str, Tensor]) -> Tensor:
        """inputs[m]: the V rows of a modality, present[m]: (B,) bool -> (B, K, H, W); a row that lacks all of them
        gets the answer to nothing."""
        size = next(inputs[name].x.shape[-2:] for name in self.modalities if name in inputs)
        if isinstance(self.encoder, MultimodalEncoder):
            pyramid = self.encoder.encode(inputs, present).pyramid
        else:
            (name,) = self.modalities
            maps = self.encoder(inputs[name]).pyramid
            assert maps is not None  # pyramid_channels says so
            rows = present[name].to(maps[0].device).nonzero(as_tuple=True)
            pyramid = [m.new_zeros(len(present[name]), *m.shape[1:]).index_put(rows, m) for m in maps]
        if pyramid is None:
            raise ConfigError("MapSegmenter: the modalities lie on different grids of tokens; give patches that fit")
        return self.decoder(pyramid, size)
