"""Losses of right answers against drawn wrong ones.

Shape legend: V = questions, K = wrong answers of each. real_VK: bool, False where a wrong answer does not count; None =
all count.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError


class LinkLoss(ABC):
    """Scores (higher = better) to one number, in nats or in units of the score."""

    @abstractmethod
    def __call__(self, right_V: Tensor, wrong_VK: Tensor, real_VK: Tensor | None = None) -> Tensor:
        """0-d float32 or better."""


class LogisticLoss(LinkLoss):
    """Mean over all scores of -log sigmoid(right) and -log sigmoid(-wrong), so that the many wrong ones dominate
    (Trouillon et al. 2016). All scores 0 give ln 2."""

    def __call__(self, right_V: Tensor, wrong_VK: Tensor, real_VK: Tensor | None = None) -> Tensor:
        wrong_VK = F.softplus(wrong_VK.float())
        if real_VK is not None:
            wrong_VK = wrong_VK[real_VK]
        return torch.cat([F.softplus(-right_V.float()), wrong_VK.flatten()]).mean()


class MarginLoss(LinkLoss):
    """Mean of max(0, margin - right + wrong) (Bordes et al. 2013). Equal scores give the margin."""

    def __init__(self, *, margin: float = 1.0) -> None:
        if margin <= 0:
            raise ConfigError(f"MarginLoss: margin is {margin}; give a positive number")
        self.margin = margin

    def __call__(self, right_V: Tensor, wrong_VK: Tensor, real_VK: Tensor | None = None) -> Tensor:
        lack_VK = F.relu(self.margin - right_V.float()[:, None] + wrong_VK.float())
        return _mean(lack_VK, real_VK)


class HardestMarginLoss(LinkLoss):
    """Mean of max(0, margin - right + hardest wrong): of several drawn wrong answers only the best scored one counts,
    and gets gradient. With one wrong answer it is `MarginLoss`; a question without any counts 0."""

    def __init__(self, *, margin: float = 0.2) -> None:
        if margin <= 0:
            raise ConfigError(f"HardestMarginLoss: margin is {margin}; give a positive number")
        self.margin = margin

    def __call__(self, right_V: Tensor, wrong_VK: Tensor, real_VK: Tensor | None = None) -> Tensor:
        wrong_VK = wrong_VK.float()
        if real_VK is not None:
            wrong_VK = wrong_VK.masked_fill(~real_VK, torch.finfo(wrong_VK.dtype).min)
        return F.relu(self.margin - right_V.float() + wrong_VK.amax(dim=1)).mean()


class SelfAdversarialLoss(LinkLoss):
    """Half of -log sigmoid(margin + right), and of the wrong ones' -log sigmoid(-margin - wrong) weighted by softmax of
    temperature * wrong, without gradient (Sun et al. 2019). Margin 0 and scores 0 give ln 2; temperature 0 is a mean.
    """

    def __init__(self, *, margin: float = 9.0, temperature: float = 1.0) -> None:
        if temperature < 0:
            raise ConfigError(f"SelfAdversarialLoss: temperature is {temperature}; give 0 or more")
        self.margin, self.temperature = margin, temperature

    def __call__(self, right_V: Tensor, wrong_VK: Tensor, real_VK: Tensor | None = None) -> Tensor:
        wrong_VK = wrong_VK.float()
        logit_VK = self.temperature * wrong_VK.detach()
        if real_VK is not None:
            logit_VK = logit_VK.masked_fill(~real_VK, torch.finfo(logit_VK.dtype).min)
        weight_VK = logit_VK.softmax(dim=1)
        if real_VK is not None:
            weight_VK = weight_VK * real_VK  # a row without any wrong answer would weigh them all
        of_wrong_V = (weight_VK * F.softplus(self.margin + wrong_VK)).sum(dim=1)
        return (F.softplus(-self.margin - right_V.float()).mean() + of_wrong_V.mean()) / 2


def _mean(x_VK: Tensor, real_VK: Tensor | None) -> Tensor:
    if real_VK is None:
        return x_VK.mean()
    return (x_VK * real_VK).sum() / real_VK.sum().clamp(min=1)
