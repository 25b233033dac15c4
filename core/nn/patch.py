"""From pixels or voxels to a grid of tokens.

Shape legend: B = rows, C = channels, D = width, N = tokens (row-major over the grid).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from core.errors import ConfigError, DataError
from core.nn.norm import group_norm

CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class PatchEmbed(nn.Module):
    """Non-overlapping patches through one strided convolution (Dosovitskiy et al. 2021, eq. 1), in 1D, 2D or 3D.

    patch: side lengths in samples, pixels or voxels, in axis order (T,), (H, W) or (S, H, W); their number
    chooses the axes.
    Input (B, C, *size), output (B, N, D) and the grid. Raises DataError when a size is no multiple of the patch.
    """

    def __init__(self, *, patch: Sequence[int], channels: int, width: int) -> None:
        super().__init__()
        if len(patch) not in CONV or min(patch) < 1:
            raise ConfigError(f"patch is {list(patch)}; give one to three positive side lengths")
        self.patch, self.channels, self.width = tuple(patch), channels, width
        self.project = self.build()

    def build(self) -> nn.Module:
        """The network from (B, C, *size) to (B, D, *grid)."""
        conv = CONV[len(self.patch)](self.channels, self.width, self.patch, self.patch)
        # As a Linear over flattened patches (He et al. 2022), not with the fan-in of a convolution.
        nn.init.xavier_uniform_(conv.weight.view(self.width, -1))
        nn.init.zeros_(conv.bias)
        return conv

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """x: (B, C, *size) -> tokens (B, N, D), grid."""
        size = tuple(x.shape[2:])
        if x.shape[1] != self.channels or len(size) != len(self.patch):
            raise DataError(
                f"{type(self).__name__} got an input of shape {tuple(x.shape)}; expected "
                f"(rows, {self.channels}, {len(self.patch)} spatial sizes). Mend `channels` or the processor"
            )
        if any(side % step for side, step in zip(size, self.patch)):
            raise DataError(
                f"{type(self).__name__} got a size of {size}, no multiple of the patch {self.patch}; "
                "let the processor resize or crop to a multiple"
            )
        map_BD = self.project(x)
        return map_BD.flatten(2).transpose(1, 2), tuple(map_BD.shape[2:])


class ConvStem(PatchEmbed):
    """Patches through 3x3 convolutions of stride two and a last 1x1 (Xiao et al. 2021), for small data sets.

    The patch must be a power of two on each axis. Neighbouring patches overlap by a few pixels, so an objective that
    hides patches should prefer `PatchEmbed`: a masked patch would leak its rim to its neighbours.
    """

    def build(self) -> nn.Module:
        if any(side & (side - 1) for side in self.patch):
            raise ConfigError(f"ConvStem: patch is {list(self.patch)}; every side must be a power of two")
        conv, steps = CONV[len(self.patch)], int(math.log2(max(self.patch)))
        layers: list[nn.Module] = []
        inside, left = self.channels, list(self.patch)
        for i in range(steps):
            outside = max(self.width >> (steps - i), 8)
            stride = tuple(2 if side > 1 else 1 for side in left)
            left = [max(side // 2, 1) for side in left]
            layers += [conv(inside, outside, 3, stride, 1, bias=False), group_norm(outside), nn.ReLU()]
            inside = outside
        return nn.Sequential(*layers, conv(inside, self.width, 1))
