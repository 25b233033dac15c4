"""How similarities become logits: logits = scale * similarity + bias.

One class per quantity that is stored: the logarithm of the scale, a temperature, or a constant. Parameters carry
`no_weight_decay = True`; the term that owns a scale calls `clamp_` after each optimiser step, never inside autograd.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.errors import ConfigError


def _scalar(value: float, learn: bool) -> nn.Parameter:
    parameter = nn.Parameter(torch.tensor(float(value)), requires_grad=learn)
    parameter.no_weight_decay = True  # type: ignore[attr-defined]
    return parameter


class Scale(nn.Module, ABC):
    """Base of the three parametrisations. `bias`: initial additive logit, learned; None for none (SigLIP: -10)."""

    def __init__(self, *, bias: float | None) -> None:
        super().__init__()
        self.bias = None if bias is None else _scalar(bias, learn=True)

    @abstractmethod
    def value(self) -> Tensor:
        """The multiplier, 0-d, differentiable where it is learned."""

    def at(self, index: int) -> Tensor:
        """The multiplier at a global step; the same at every step unless it follows a schedule."""
        return self.value()

    def clamp_(self) -> None:
        """Bring the stored parameter back into its range."""

    def logs(self) -> dict[str, Tensor]:
        logs = {"scale": self.value().detach()}
        return logs if self.bias is None else logs | {"bias": self.bias.detach()}


class LogScale(Scale):
    """Learned logarithm of the scale (Radford et al. 2021: start 1/0.07, kept in [1, 100])."""

    def __init__(
        self,
        *,
        init: float = 1 / 0.07,
        minimum: float = 1.0,
        maximum: float | None = 100.0,
        learn: bool = True,
        bias: float | None = None,
    ) -> None:
        """init, minimum, maximum: the scale itself, not its logarithm; maximum None for no limit."""
        super().__init__(bias=bias)
        if init <= 0 or minimum <= 0 or (maximum is not None and maximum < minimum):
            raise ConfigError(
                f"LogScale: init {init}, minimum {minimum}, maximum {maximum}; needs init > 0, 0 < minimum <= maximum"
            )
        self.low, self.high = math.log(minimum), None if maximum is None else math.log(maximum)
        self.log_scale = _scalar(math.log(init), learn)
        self.clamp_()

    def value(self) -> Tensor:
        return self.log_scale.exp()

    @torch.no_grad()
    def clamp_(self) -> None:
        self.log_scale.clamp_(self.low, self.high)


class Temperature(Scale):
    """Learned temperature that similarities are divided by (ALBEF: start 0.07, kept in [0.001, 0.5])."""

    def __init__(
        self,
        *,
        init: float = 0.07,
        minimum: float = 1e-3,
        maximum: float = 0.5,
        learn: bool = True,
        bias: float | None = None,
    ) -> None:
        super().__init__(bias=bias)
        if not 0 < minimum <= init <= maximum:
            raise ConfigError(
                f"Temperature: init {init} is outside [{minimum}, {maximum}]; needs 0 < minimum <= init <= maximum"
            )
        self.minimum, self.maximum = minimum, maximum
        self.temperature = _scalar(init, learn)

    def value(self) -> Tensor:
        return 1 / self.temperature

    @torch.no_grad()
    def clamp_(self) -> None:
        self.temperature.clamp_(self.minimum, self.maximum)


class FixedScale(Scale):
    """Constant temperature (0.1 in Zhang et al. 2020). Not a parameter, but part of the state dict."""

    stored: Tensor

    def __init__(self, *, temperature: float = 0.07, bias: float | None = None) -> None:
        super().__init__(bias=bias)
        if temperature <= 0:
            raise ConfigError(f"FixedScale: temperature is {temperature}; needs a value above 0, for instance 0.07")
        self.register_buffer("stored", torch.tensor(1 / float(temperature)))

    def value(self) -> Tensor:
        return self.stored
