"""What changed between two pictures of one place: one encoder for both, the difference of its maps decoded.

Siamese form with concatenated features and their difference, after Daudt et al. 2018 (FC-Siam), with the ConvNeXt head
of MultiMAE in place of a U-Net.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.encoders.base import Encoder
from core.errors import ConfigError
from core.models.map_segmenter import ConvNeXtDecoder
from core.types import ModalityInput


class ChangeSegmenter(nn.Module):
    """Logits of "same" and "changed" for every pixel. before, after: names that the two pictures come by.

    The head sees the later map and |later - earlier|: equal pictures differ by exactly nothing.
    """

    def __init__(self, *, encoder: Encoder, before: str, after: str, width: int, cells: int, depth: int) -> None:
        super().__init__()
        if not encoder.pyramid_channels:
            raise ConfigError(f"ChangeSegmenter: {type(encoder).__name__} gives no feature maps; use an image encoder")
        channels = encoder.pyramid_channels[-1]
        self.encoder, self.before, self.after = encoder, before, after
        self.norm = nn.GroupNorm(1, 2 * channels)
        self.decoder = ConvNeXtDecoder(classes=2, channels=2 * channels, width=width, cells=cells, depth=depth)

    def forward(self, inputs: Mapping[str, ModalityInput], present: Mapping[str, Tensor]) -> Tensor:
        """inputs[m]: the V rows of a picture, present[m]: (B,) bool -> (B, 2, H, W); rows that lack one get zeros."""
        both_B = present[self.before] & present[self.after]
        earlier, later = (self._map(inputs[name], both_B[present[name]]) for name in (self.before, self.after))
        size = inputs[self.after].x.shape[-2:]
        logits_V2HW = self.decoder([self.norm(torch.cat([later, (later - earlier).abs()], dim=1))], size)
        rows = both_B.to(logits_V2HW.device).nonzero(as_tuple=True)
        return logits_V2HW.new_zeros(len(both_B), *logits_V2HW.shape[1:]).index_put(rows, logits_V2HW)

    def _map(self, inp: ModalityInput, wanted_V: Tensor) -> Tensor:
        pyramid = self.encoder(inp.rows(wanted_V.to(inp.x.device))).pyramid
        if pyramid is None:
            raise ConfigError("ChangeSegmenter: the encoder's tokens lie on no grid; give an image encoder")
        return pyramid[-1]
