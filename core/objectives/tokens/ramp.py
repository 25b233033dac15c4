"""A number that moves in a straight line over the first steps and then stays."""

from __future__ import annotations

from core.errors import ConfigError


class Ramp:
    """start at step 0, end from step `steps` on."""

    def __init__(self, *, start: float, end: float, steps: int) -> None:
        if steps < 0:
            raise ConfigError(f"Ramp: steps is {steps}; give 0 or more")
        self.start, self.end, self.steps = start, end, steps

    def at(self, index: int) -> float:
        """index: optimiser steps taken."""
        share = 1.0 if index >= self.steps else index / self.steps
        return self.start + (self.end - self.start) * share


def as_ramp(value: float | Ramp) -> Ramp:
    """A number stands for itself at every step."""
    return value if isinstance(value, Ramp) else Ramp(start=value, end=value, steps=0)
