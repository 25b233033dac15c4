"""Soft targets from label maps that are wrong in places.

Shape legend: V = rows, K = classes, H, W = pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.pixels.losses import one_hot


class Smoothing(nn.Module, ABC):
    """masks: further label maps of a row that it reads."""

    masks: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, labels_VHW: Tensor, others: Mapping[str, Tensor], classes: int) -> Tensor:
        """labels: (V, H, W), -1 = unknown. others[mask]: the same rows of another map -> (V, K, H, W), which sums to 1
        where the label is known."""


class SpatialTemporalSmoothing(Smoothing):
    """(1 - a - b) onehot(y) + a (T + S) / 2 + b / K (Liu et al. 2025, CromSS).

    S: how frequent each class is around a pixel, weighted by a Gaussian of `sigma` pixels cut at `truncate` sigma; T:
    the same over the maps `masks` of other dates. Unlabelled pixels and what lies outside the picture count for
    nothing, so near a border the weights are those of what is there. Without any label around on other dates T is S.
    """

    def __init__(
        self,
        *,
        masks: Sequence[str] = (),
        prior: float = 0.15,
        uniform: float = 0.05,
        sigma: float = 3.0,
        truncate: float = 4.0,
    ) -> None:
        """prior: a. uniform: b. Raises ConfigError unless both are shares that leave something to the label."""
        super().__init__()
        if min(prior, uniform) < 0 or prior + uniform > 1 or sigma <= 0 or truncate <= 0:
            raise ConfigError(
                f"SpatialTemporalSmoothing: prior {prior} and uniform {uniform} are shares with a sum of at most 1, "
                f"sigma {sigma} and truncate {truncate} positive"
            )
        self.masks, self.prior, self.uniform = tuple(masks), prior, uniform
        self.sigma, self.truncate = sigma, truncate

    def forward(self, labels_VHW: Tensor, others: Mapping[str, Tensor], classes: int) -> Tensor:
        hot_VKHW = one_hot(labels_VHW, classes)
        around_VKHW = shares(self._blurred(hot_VKHW))
        dates = [one_hot(others[name], classes) for name in self.masks if name in others]
        over_dates_VKHW = self._blurred(torch.stack(dates).sum(0)) if dates else torch.zeros_like(around_VKHW)
        known_V1HW = over_dates_VKHW.sum(1, keepdim=True) > 0
        over_dates_VKHW = torch.where(known_V1HW, shares(over_dates_VKHW), around_VKHW)
        prior_VKHW = (over_dates_VKHW + around_VKHW) / 2
        kept = 1 - self.prior - self.uniform
        return kept * hot_VKHW + self.prior * prior_VKHW + self.uniform / classes

    def _blurred(self, x_VKHW: Tensor) -> Tensor:
        """A separable Gaussian, nothing outside the picture."""
        return self._weights(x_VKHW, -2) @ x_VKHW @ self._weights(x_VKHW, -1)

    def _weights(self, x_VKHW: Tensor, axis: int) -> Tensor:
        """(n, n) of the n pixels along an axis on each other: one product is several times as fast as a convolution of
        thin maps with a long kernel."""
        radius = int(self.truncate * self.sigma + 0.5)
        at_n = torch.arange(x_VKHW.shape[axis], device=x_VKHW.device, dtype=x_VKHW.dtype)
        apart_nn = at_n[:, None] - at_n
        return (-0.5 * (apart_nn / self.sigma) ** 2).exp() * (apart_nn.abs() <= radius)


def shares(weights_VKHW: Tensor) -> Tensor:
    """Divided by the sum over classes; 0 where that is 0."""
    total_V1HW = weights_VKHW.sum(1, keepdim=True)
    return torch.where(total_V1HW > 0, weights_VKHW / total_V1HW.clamp_min(1e-30), 0.0)
