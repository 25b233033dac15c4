"""Numbers that depend on the global step alone, so that a resumed run continues them."""

from __future__ import annotations

from core.errors import ConfigError


class Staircase:
    """max(start * factor^(index // every), floor): constant between steps of the stairs (Chen et al. 2023, "FDT": every
    2,700 steps from 1000 down to 0.01; the released configuration has factor 1)."""

    def __init__(self, *, start: float = 1000.0, factor: float = 1.0, every: int = 2700, floor: float = 0.01) -> None:
        if min(start, factor, floor) <= 0 or every < 1:
            raise ConfigError(
                f"Staircase: start {start}, factor {factor}, every {every}, floor {floor}; all must be positive"
            )
        self.start, self.factor, self.every, self.floor = start, factor, every, floor

    def value(self, index: int) -> float:
        """At global step `index`."""
        return max(self.start * self.factor ** (index // self.every), self.floor)
