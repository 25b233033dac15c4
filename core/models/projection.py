"""Projections from an encoder's width to the space that modalities share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


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


class StandardisedProjection(nn.Module):
    """x @ W of features standardised over the batch (running statistics in evaluation). (V, width) -> (V, dim).

    Fresh encoders give every row nearly the same vector; cosines of such rows are all 1 and a contrastive loss has
    hardly a gradient. Standardising each feature takes the common part away (the batch norm of the heads of Chen et al.
    2020, without its scale and shift). A single row is standardised by the running statistics.
    """

    def __init__(self, *, width: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.linear = nn.Linear(width, dim, bias=False)
        nn.init.normal_(self.linear.weight, std=width**-0.5)

    def forward(self, x_VD: Tensor) -> Tensor:
        if len(x_VD) < 2:  # the batch has no spread to measure
            return self.linear(F.batch_norm(x_VD, self.norm.running_mean, self.norm.running_var, eps=self.norm.eps))
        return self.linear(self.norm(x_VD))
