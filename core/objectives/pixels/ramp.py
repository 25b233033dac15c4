"""A number that rises over the first epochs and then stays at one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.errors import ConfigError


class EpochRamp(nn.Module):
    """g(e) = exp(-steepness (1 - e / epochs)^2) up to epoch `epochs`, 1 from there on (Laine and Aila 2017, 80 and 5).

    The epoch is part of the objective's state, so a resumed run has it. epochs = 0: always 1.
    """

    epoch: Tensor

    def __init__(self, *, epochs: int = 80, steepness: float = 5.0) -> None:
        super().__init__()
        if epochs < 0 or steepness < 0:
            raise ConfigError(f"EpochRamp: epochs {epochs}, steepness {steepness}; give 0 or more")
        self.epochs, self.steepness = epochs, steepness
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def on_epoch(self, epoch: int) -> None:
        self.epoch.fill_(epoch)

    def value(self) -> float:
        """g of the present epoch."""
        return self.at(int(self.epoch))

    def at(self, epoch: int) -> float:
        if epoch >= self.epochs:
            return 1.0
        return math.exp(-self.steepness * (1 - epoch / self.epochs) ** 2)
