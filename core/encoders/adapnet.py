"""AdapNet++: a residual network that keeps a sixteenth of the resolution, with cheap context at several scales.

Valada et al. 2019 (IJCV), from the paper's description. Shape legend: V = rows, C = channels, H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError, DataError
from core.types import Encoded, ModalityInput, Tokens

STRIDE = 16
# Dilations of the two halves of the 3x3 convolution, unit by unit; None: one undivided convolution.
# The split units are as published; the dilations of stages 3 and 4 are from memory.
Dilations = Sequence[Sequence[tuple[int, int] | None]]
DILATIONS: Dilations = (
    (None, None, None),
    (None, None, None, (1, 2)),
    (None, None, (1, 2), (1, 4), (1, 8), (1, 16)),
    ((2, 4), (2, 8), (2, 16)),
)


class MultiScaleUnit(nn.Module):
    """Pre-activation bottleneck (He et al. 2016) whose 3x3 convolution may be two halves of different dilation."""

    def __init__(
        self, channels: int, width: int, out: int, *, stride: int = 1, dilations: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.reduce = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True))
        parts = [(width, 1)] if dilations is None else [(width - width // 2, dilations[0]), (width // 2, dilations[1])]
        self.parts = nn.ModuleList(
            nn.Conv2d(width, size, 3, stride, rate, dilation=rate, bias=False) for size, rate in parts
        )
        self.expand = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(True), nn.Conv2d(width, out, 1, bias=False))
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False) if stride > 1 or channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        """(V, C, h, w) -> (V, out, h / stride, w / stride)."""
        h = F.relu(self.norm(x))
        kept = x if self.shortcut is None else self.shortcut(h)
        h = self.reduce(h)
        return kept + self.expand(torch.cat([part(h) for part in self.parts], dim=1))


class EfficientASPP(nn.Module):
    """Context at several scales: a 1x1 convolution, bottlenecks with two dilated 3x3 convolutions per rate, the mean.

    At 2048 channels it has 2,039,808 weights of convolutions, where a plain one of the same rates has 15,532,032.
    """

    def __init__(self, channels: int, *, width: int = 256, narrow: int = 64, rates: Sequence[int] = (3, 6, 12)) -> None:
        super().__init__()
        self.point = _normed(channels, width, 1)
        self.scales = nn.ModuleList(
            nn.Sequential(
                _normed(channels, narrow, 1), _normed(narrow, narrow, 3, rate), _normed(narrow, narrow, 3, rate),
                _normed(narrow, width, 1),
            )
            for rate in rates
        )  # fmt: skip
        self.mean = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False), nn.ReLU(True)
        )  # one cell has no statistics
        self.join = _normed(width * (2 + len(rates)), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(V, C, h, w) -> (V, width, h, w)."""
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.join(torch.cat([self.point(x), *(scale(x) for scale in self.scales), mean], dim=1))


class AdapNet(Encoder):
    """Images (V, C, H, W) with H and W multiples of 16 -> maps of stride 4 and 8 (`skip` channels), 16 (`context`).

    The pyramid is what the decoder of AdapNet++ and the fusion blocks of SSMA read. base: width of the first stage's
    bottlenecks, 64 as published; stages have 4, 8, 16 and 32 times as many channels. dilations: one entry per
    unit, so it says how many units a stage has. dropout: of whole channels after stage 4, 0.7 as in the release, which
    keeps 0.3. Pooled vector and tokens are of the coarsest map. Raises DataError for sizes that 16 does not divide.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        base: int = 64,
        dilations: Dilations | None = None,
        context: int = 256,
        narrow: int = 64,
        skip: int = 24,
        dropout: float = 0.7,
    ) -> None:
        super().__init__()
        chosen = DILATIONS if dilations is None else dilations
        if len(chosen) != 4 or not all(chosen) or base < 2 or not 0 <= dropout < 1:
            raise ConfigError(
                f"AdapNet: dilations has {len(chosen)} stages, base is {base}, dropout {dropout}; give four stages of "
                "one unit at least, a width of 2 or more, a share in [0, 1)"
            )
        self.norm = nn.BatchNorm2d(channels)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, base, 7, 2, 3, bias=False), nn.BatchNorm2d(base), nn.ReLU(True),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        self.stages, before = nn.ModuleList(), base
        for i, (units, stride) in enumerate(zip(chosen, (1, 2, 2, 1), strict=True)):
            width, stage = base * 2**i, nn.Sequential()
            for j, rates in enumerate(units):
                pair = None if rates is None else (int(rates[0]), int(rates[1]))
                stage.append(MultiScaleUnit(before, width, 4 * width, stride=1 if j else stride, dilations=pair))
                before = 4 * width
            self.stages.append(stage)
        self.dropout = nn.Dropout2d(dropout)
        self.context = EfficientASPP(before, width=context, narrow=narrow)
        self.skips = nn.ModuleList(_normed(4 * base * 2**i, skip, 1) for i in range(2))
        self.channels, self.width = channels, context
        self.pyramid_channels = (skip, skip, context)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        if inp.x.shape[-1] % STRIDE or inp.x.shape[-2] % STRIDE:
            raise DataError(
                f"AdapNet reads {inp.x.shape[-2]} x {inp.x.shape[-1]} pixels; rows and columns must be multiples of "
                f"{STRIDE}: set size or crop of the processor"
            )
        h, maps = self.stem(self.norm(inp.x)), []
        for stage in self.stages:
            h = stage(h)
            maps.append(h)
        coarse = self.context(F.relu(self.dropout(h)))
        pyramid = [*(skip(m) for skip, m in zip(self.skips, maps[:2], strict=True)), coarse]
        tokens_VND = coarse.flatten(2).transpose(1, 2)
        return Encoded(
            pooled=tokens_VND.mean(1), tokens=Tokens(x=tokens_VND, grid=tuple(coarse.shape[2:])), pyramid=pyramid
        )


def _normed(channels: int, out: int, kernel: int, rate: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    padding = rate * (kernel // 2)
    conv = nn.Conv2d(channels, out, kernel, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(True))
