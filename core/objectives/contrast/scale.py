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
        minimum: float | None = 1.0,
        maximum: float | None = 100.0,
        cap: float | None = None,
        learn: bool = True,
        bias: float | None = None,
        bias_batch: int | None = None,
    ) -> None:
        """init, minimum, maximum: the scale itself, not its logarithm; None for no limit (Symile, Long-CLIP). A start
        outside the limits is moved to the nearer one at once (FILIP and FDT: limits e^3 and e^6).
        cap: multiplies by at most this, whatever is stored, and without gradient beyond it (FDT: 100).
        bias_batch: start the bias at -ln(bias_batch - 1), the best one for features that say nothing; -10 suits
        22,000 rows."""
        super().__init__(bias=bias if bias_batch is None else uninformed_bias(bias_batch, bias))
        positive = all(x is None or x > 0 for x in (init, minimum, maximum, cap))
        if not positive or (minimum is not None and maximum is not None and maximum < minimum):
            raise ConfigError(
                f"LogScale: init {init}, minimum {minimum}, maximum {maximum}, cap {cap}; needs init > 0, cap > 0 and "
                f"0 < minimum <= maximum"
            )
        self.low = None if minimum is None else math.log(minimum)
        self.high = None if maximum is None else math.log(maximum)
        self.cap = cap
        self.log_scale = _scalar(math.log(init), learn)
        self.clamp_()

    def value(self) -> Tensor:
        value = self.log_scale.exp()
        return value if self.cap is None else value.clamp_max(self.cap)

    @torch.no_grad()
    def clamp_(self) -> None:
        if self.low is not None or self.high is not None:
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


class ScheduledTemperature(Scale):
    """Temperature that moves linearly from `start` to `end` over the first `steps` steps and stays (teacher patches of
    iBOT and DINO: 0.04 to 0.07 over 30 epochs). A function of the step, so a resumed run continues it."""

    stored: Tensor

    def __init__(self, *, start: float, end: float, steps: int, bias: float | None = None) -> None:
        super().__init__(bias=bias)
        if start <= 0 or end <= 0 or steps < 1:
            raise ConfigError(
                f"ScheduledTemperature: start {start}, end {end}, steps {steps}; needs temperatures above 0, steps >= 1"
            )
        self.start, self.end, self.steps = start, end, steps
        self.register_buffer("stored", torch.tensor(1 / start))

    def value(self) -> Tensor:
        return self.stored

    @torch.no_grad()
    def at(self, index: int) -> Tensor:
        share = min(1.0, index / self.steps)
        self.stored.fill_(1 / (self.start + share * (self.end - self.start)))
        return self.stored


def uninformed_bias(rows: int, given: float | None = None) -> float:
    """-ln(rows - 1): the bias with which logits of equal features predict one positive in `rows`."""
    if rows < 2:
        raise ConfigError(f"LogScale: bias_batch is {rows}; give the rows of a batch, at least 2")
    if given is not None:
        raise ConfigError(f"LogScale: bias {given} and bias_batch {rows} are two starts of one bias; give one of them")
    return -math.log(rows - 1)
