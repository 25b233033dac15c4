"""Heads that self-distillation asks for; in the model, so that a momentum copy has them.

Shape legend: M = vectors of any origin, D = width of the encoder, E = width of the bottleneck, K = prototypes.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError


class DistillationHead(nn.Module):
    """An MLP to unit vectors, and their cosines with K prototypes (Caron et al. 2021, DINO; Zhou et al. 2022, iBOT).

    The prototypes are unit vectors too, so that a logit is a cosine.
    """

    def __init__(
        self, *, width: int, prototypes: int = 8192, hidden: int = 2048, bottleneck: int = 256, layers: int = 3
    ) -> None:
        """width: D. hidden: of the MLP. bottleneck: E. layers: linear layers up to the bottleneck."""
        super().__init__()
        if layers < 1 or prototypes < 2:
            raise ConfigError(f"DistillationHead: {layers} layers and {prototypes} prototypes; needs 1 and 2 at least")
        self.prototypes = prototypes
        sizes = [width, *[hidden] * (layers - 1), bottleneck]
        parts: list[nn.Module] = []
        for one, two in itertools.pairwise(sizes):
            parts += [nn.Linear(one, two), nn.GELU()]
        self.mlp = nn.Sequential(*parts[:-1])
        for part in self.mlp:
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                nn.init.zeros_(part.bias)
        self.direction = nn.Parameter(torch.randn(prototypes, bottleneck))

    def states(self, x_MD: Tensor) -> Tensor:
        """(M, E) unit vectors."""
        return F.normalize(self.mlp(x_MD), dim=-1, eps=1e-6)

    def weight(self) -> Tensor:
        """(K, E) unit prototypes."""
        return F.normalize(self.direction, dim=-1)

    def forward(self, x_MD: Tensor) -> Tensor:
        """(M, K) cosines."""
        return F.linear(self.states(x_MD), self.weight())


class MaskToken(nn.Module):
    """The trained vector that stands for a hidden token, before its position is added. width: D of the encoder."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))

    def forward(self, place_ND: Tensor) -> Tensor:
        """(N, D): the vector at each of these positions."""
        return self.vector + place_ND
