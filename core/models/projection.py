"""Projections from an encoder's width to the space that modalities share."""

from __future__ import annotations

from torch import Tensor, nn


class LinearProjection(nn.Module):
    """x @ W, without a bias (Radford 2021). (V, width) -> (V, dim)."""

    def __init__(self, *, width: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, dim, bias=False)
        nn.init.normal_(self.linear.weight, std=width**-0.5)

    def forward(self, x_VD: Tensor) -> Tensor:
        return self.linear(x_VD)


class MLPProjection(nn.Module):
    """Linear - ReLU - Linear (ConVIRT). (V, width) -> (V, dim)."""

    def __init__(self, *, width: int, dim: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = width if hidden is None else hidden
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, x_VD: Tensor) -> Tensor:
        return self.layers(x_VD)
