"""Self-supervised model adaptation: gates that weigh two modalities' features place by place, and AdapNet++'s decoder.

Valada et al. 2019 (IJCV), from the paper's description. Shape legend: V = rows, C = channels, K = classes, H, W =
pixels, h, w = cells of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError

ETA = (6, 6, 16)  # how much the gates' bottlenecks reduce, at strides 4, 8 and 16


class SSMABlock(nn.Module):
    """X = [A, B]; BN(conv(X * sigmoid(conv(relu(conv(X)))))), 3x3 convolutions: (V, C, h, w) twice -> (V, C, h, w)."""

    def __init__(self, channels: int, *, eta: int) -> None:
        """eta: the bottleneck has 2 C / eta channels. Raises ConfigError when that is none."""
        super().__init__()
        if eta < 1 or 2 * channels // eta < 1:
            raise ConfigError(f"SSMABlock: eta is {eta} for {channels} channels; give 1 to {2 * channels}")
        narrow = 2 * channels // eta
        self.gate = nn.Sequential(
            nn.Conv2d(2 * channels, narrow, 3, padding=1), nn.ReLU(True),
            nn.Conv2d(narrow, 2 * channels, 3, padding=1), nn.Sigmoid(),
        )  # fmt: skip
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x = torch.cat([a, b], dim=1)
        return self.norm(self.join(x * self.gate(x)))

    def weights(self, a: Tensor, b: Tensor) -> Tensor:
        """(V, 2C, h, w) in (0, 1): of the channels of A, then of B."""
        return self.gate(torch.cat([a, b], dim=1))


class AdapNetHead(nn.Module):
    """Maps of stride 4, 8 and 16 to logits: three doublings or more, skips that join on the way, two auxiliary outputs.

    classes: K. channels: of the three maps (`pyramid_channels` of `core.encoders.AdapNet`). width: 256 as published.
    gated: each skip is multiplied by weights made of the mean decoder feature, as in the decoder of a fused network.
    forward gives the logits, then those after the first two stages, all of `size`.
    """

    def __init__(self, *, classes: int, channels: Sequence[int], width: int = 256, gated: bool = False) -> None:
        super().__init__()
        if len(channels) != 3 or classes < 1 or width < 1:
            raise ConfigError(f"AdapNetHead: channels {list(channels)}, classes {classes}, width {width}; needs 3 maps")
        fine, middle, coarse = channels
        self.ups = nn.ModuleList(nn.ConvTranspose2d(c, width, 4, 2, 1, bias=False) for c in (coarse, width))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in self.ups)
        self.joins = nn.ModuleList(
            nn.Sequential(_normed(width + skip, width), _normed(width, width)) for skip in (middle, fine)
        )
        self.gates = nn.ModuleList(nn.Conv2d(width, skip, 1) for skip in (middle, fine)) if gated else None
        self.logits = nn.Conv2d(width, classes, 1)
        self.last = nn.ConvTranspose2d(classes, classes, 8, 4, 2, bias=False)
        self.auxiliary = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in self.ups)
        _bilinear(self.last)

    def forward(self, pyramid: Sequence[Tensor], size: Sequence[int]) -> list[Tensor]:
        """pyramid: maps (V, C_l, h_l, w_l), fine to coarse -> three of (V, K, *size)."""
        h, outputs = pyramid[-1], []
        for i, skip in enumerate((pyramid[1], pyramid[0])):
            h = F.relu(self.norms[i](self.ups[i](h)))
            if self.gates is not None:
                skip = skip * self.gates[i](h.mean((2, 3), keepdim=True))
            h = self.joins[i](torch.cat([h, skip], dim=1))
            outputs.append(self.auxiliary[i](h))
        outputs.insert(0, self.last(self.logits(h)))
        return [F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
                if tuple(x.shape[2:]) != tuple(size) else x for x in outputs]  # fmt: skip


class SSMAHead(nn.Module):
    """Two modalities' maps, joined by a block at each resolution, to logits by one decoder.

    classes, channels, width: as `AdapNetHead`, of each modality. eta: of the blocks, fine to coarse.
    """

    def __init__(self, *, classes: int, channels: Sequence[int], width: int = 256, eta: Sequence[int] = ETA) -> None:
        super().__init__()
        if len(channels) != 3 or len(eta) != 3:
            raise ConfigError(f"SSMAHead: channels {list(channels)} and eta {list(eta)} are three numbers each")
        self.blocks = nn.ModuleList(SSMABlock(c, eta=e) for c, e in zip(channels, eta, strict=True))
        self.decoder = AdapNetHead(classes=classes, channels=channels, width=width, gated=True)

    def forward(self, pyramids: Sequence[Sequence[Tensor]], size: Sequence[int]) -> list[Tensor]:
        """pyramids: of two modalities -> three of (V, K, *size)."""
        if len(pyramids) != 2:
            raise ConfigError(f"SSMAHead joins two modalities, not {len(pyramids)}")
        return self.decoder([block(a, b) for block, a, b in zip(self.blocks, *pyramids, strict=True)], size)


def _normed(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(True))


@torch.no_grad()
def _bilinear(up: nn.ConvTranspose2d) -> None:
    """A transposed convolution that begins as bilinear interpolation of each class: no checkerboard."""
    side, stride = up.kernel_size[0], up.stride[0]
    ramp = 1 - (torch.arange(side) - (side - 1) / 2).abs() / stride
    up.weight.zero_()
    for c in range(up.in_channels):
        up.weight[c, c] = ramp[:, None] * ramp[None]
