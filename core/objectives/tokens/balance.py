"""How the losses of several tasks are added up.

Shape legend: every loss is 0-d.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.errors import ConfigError


class Balance(nn.Module, ABC):
    @abstractmethod
    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        """One number from the losses of the tasks that had something to predict; at least one."""


class EqualWeights(Balance):
    """The plain sum."""

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.stack(list(losses.values())).sum()


class LearnedUncertainty(Balance):
    """sum of exp(-s) L + s with a trained s per task, 0 at the start (Kendall et al. 2018). tasks: their names."""

    def __init__(self, *, tasks: list[str]) -> None:
        super().__init__()
        if not tasks:
            raise ConfigError("LearnedUncertainty: tasks is empty; name the tasks of the term")
        self.log_variance = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in tasks})

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        for name in losses:
            if name not in self.log_variance:
                raise ConfigError(f"LearnedUncertainty: tasks does not name '{name}'; it has {list(self.log_variance)}")
        parts = [(-self.log_variance[name]).exp() * loss + self.log_variance[name] for name, loss in losses.items()]
        return torch.stack(parts).sum()
