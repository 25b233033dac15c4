"""A Gaussian with diagonal covariance for the features of each class, learned in one pass.

Shape legend: P = points, K = classes, D = width of the features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FLOOR = 1e-6  # added to variances: a class of a single point has none


class ClassGaussians(nn.Module):
    """Moments of the features of each class. A class without a point has the density 0, not NaN."""

    count_K: Tensor  # noqa: N815
    sum_KD: Tensor  # noqa: N815
    square_KD: Tensor  # noqa: N815
    shift_D: Tensor  # noqa: N815

    def __init__(self, *, classes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("count_K", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("sum_KD", torch.zeros(classes, width, dtype=torch.float64))
        self.register_buffer("square_KD", torch.zeros(classes, width, dtype=torch.float64))
        self.register_buffer("shift_D", torch.zeros(width, dtype=torch.float64))  # near the mean: no cancellation

    @torch.no_grad()
    def observe(self, feature_PD: Tensor, label_P: Tensor) -> None:
        """Add points; those of label -1 are passed over."""
        known_P = label_P >= 0
        x_PD, label_P = feature_PD[known_P].double(), label_P[known_P]
        if len(x_PD) == 0:
            return
        if float(self.count_K.sum()) == 0:
            self.shift_D.copy_(x_PD.mean(0))
        x_PD = x_PD - self.shift_D
        self.count_K += torch.bincount(label_P, minlength=len(self.count_K)).double()
        self.sum_KD.index_add_(0, label_P, x_PD)
        self.square_KD.index_add_(0, label_P, x_PD.square())

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of each class, (K, D) float64; 0 and the floor for a class without a point."""
        count_K1 = self.count_K.clamp_min(1)[:, None]
        mean_KD = self.sum_KD / count_K1
        variance_KD = (self.square_KD / count_K1 - mean_KD.square()).clamp_min(0)
        return mean_KD + self.shift_D, variance_KD + FLOOR

    @torch.no_grad()
    def log_density(self, feature_PD: Tensor, label_P: Tensor) -> Tensor:
        """(P,) ln N(feature | class label), -inf for a class without a point. The product of densities underflows."""
        mean_KD, variance_KD = (t.to(feature_PD.dtype) for t in self.moments())
        constant_K = -0.5 * (variance_KD.log().sum(1) + feature_PD.shape[1] * math.log(2 * math.pi))
        constant_K = constant_K.masked_fill(self.count_K == 0, -torch.inf)
        square_PD = (feature_PD - mean_KD[label_P]).square() / variance_KD[label_P]
        return constant_K[label_P] - 0.5 * square_PD.sum(1)
