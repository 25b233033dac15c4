"""Patches of a raster as tokens: those that the sensor did not record are padding.

Shape legend: V = rows, C = bands, H, W = pixels, N = patches.
"""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F

from core.encoders.adapters import PatchAdapter
from core.types import ModalityInput, Tokens


class RasterAdapter(PatchAdapter):
    """A `PatchAdapter` (V, C, H, W) that leaves out patches of which more than half was not recorded.

    What was recorded is `extra["valid"]` (V, H, W); without it every patch is real. A patch that is left out is seen by
    no other token, and no objective asks for it.
    """

    def embed(self, inp: ModalityInput) -> Tokens:
        tokens = super().embed(inp)
        valid_VHW = inp.extra.get("valid")
        if valid_VHW is None or bool(valid_VHW.all()):
            return tokens
        share_VN = F.avg_pool2d(valid_VHW[:, None].float(), self.patch, self.patch).flatten(1)
        return replace(tokens, mask=share_VN >= 0.5)
