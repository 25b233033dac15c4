"""The decoder of a U-Net as a head of its own, so that several encoders can share it.

Shape legend: V = rows, K = classes, H, W = pixels, h, w = cells of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError, missing_extra


class UNetHead(nn.Module):
    """Feature maps, fine to coarse, to logits of every pixel: decoder and head of a U-Net (Ronneberger et al. 2015) of
    segmentation-models-pytorch, under its names, so that its weights fit.

    classes: K. channels: of the maps, what the encoder gives as `pyramid_channels`. widths: of the decoder, one per
    map, coarse to fine (256, 128, 64, 32, 16 for the five maps of a ResNet); the last is at the pixels themselves.
    norm: of segmentation-models-pytorch; "batchnorm" as its weights need. A decoder that modalities share keeps one
    running mean of both, which neither has at evaluation; "instancenorm" keeps none.
    Raises ConfigError when the lengths differ.
    """

    def __init__(
        self, *, classes: int, channels: Sequence[int], widths: Sequence[int], norm: str = "batchnorm"
    ) -> None:
        super().__init__()
        try:
            from segmentation_models_pytorch.base import SegmentationHead
            from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
        except ImportError as err:
            raise missing_extra("segmentation_models_pytorch", "remote-sensing") from err
        if len(channels) != len(widths) or len(channels) == 0 or classes < 1:
            raise ConfigError(
                f"UNetHead: channels {list(channels)} and widths {list(widths)} must be of one length, at least 1, "
                f"and classes ({classes}) a count"
            )
        self.channels, self.classes = tuple(channels), classes
        given: list[int] = [0, *channels]  # the decoder leaves out the first, the picture itself
        try:
            self.decoder = UnetDecoder(given, list(widths), n_blocks=len(widths), use_norm=norm)
        except ValueError as err:
            raise ConfigError(f"UNetHead: norm: {err}") from err
        self.segmentation_head = SegmentationHead(widths[-1], classes, kernel_size=3)

    def forward(self, pyramid: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """pyramid: maps (V, C_l, h_l, w_l) -> (V, K, *size)."""
        found = tuple(m.shape[1] for m in pyramid)
        if found != self.channels:
            raise ConfigError(f"UNetHead: channels is {list(self.channels)}, the encoder gives {list(found)}")
        picture = pyramid[0].new_empty(len(pyramid[0]), 0, *size)  # its size is all that is read
        logits = self.segmentation_head(self.decoder([picture, *pyramid]))
        return logits if tuple(logits.shape[-2:]) == tuple(size) else F.interpolate(logits, size=tuple(size))
