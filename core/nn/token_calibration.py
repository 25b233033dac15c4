"""A learned scale and shift of one modality's tokens at every layer (MoCa, Huang et al. 2024).

Shape legend: B = rows, N = tokens, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError


class TokenCalibration(nn.Module):
    """x <- scale * x + shift on the tokens of one modality, after block `layer`; all other tokens pass unchanged.

    width: D. depth: layers, each with its own scale and shift (D,), Normal(1, 0.02) and Normal(0, 0.02) at the start.
    Acts from a hook: `BlockHook(i, "after_ffn", lambda h, ctx: calibration(i, h, image_BN))`.
    """

    def __init__(self, *, width: int, depth: int, std: float = 0.02) -> None:
        super().__init__()
        if width < 1 or depth < 1 or std < 0:
            raise ConfigError(
                f"TokenCalibration: width {width} and depth {depth} must be positive, std {std} at least 0"
            )
        self.scale = nn.Parameter(torch.empty(depth, width).normal_(1.0, std))
        self.shift = nn.Parameter(torch.empty(depth, width).normal_(0.0, std))

    def forward(self, layer: int, x_BND: Tensor, of_modality_BN: Tensor) -> Tensor:
        """of_modality_BN: bool, True = a token to calibrate (an image token)."""
        if not 0 <= layer < len(self.scale):
            raise ConfigError(f"TokenCalibration has layers 0 to {len(self.scale) - 1}; layer {layer} was asked for")
        moved_BND = x_BND * self.scale[layer].to(x_BND.dtype) + self.shift[layer].to(x_BND.dtype)
        return torch.where(of_modality_BN[..., None], moved_BND, x_BND)
