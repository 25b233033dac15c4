"""Effect and verdict: the one rule by which every benchmark turns per-seed values into an answer.

Two arms are run with the same seeds, so that each seed gives one paired difference. An effect counts as reproduced when
the mean difference lies on the claimed side of zero by more than a margin of one standard deviation of the differences.
The 95% interval is Student's t over seeds; with three seeds it is wide (2.48 deviations each way), and it is shown
beside the verdict rather than hidden in it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import ConfigError, DataError

Verdict = Literal["reproduced", "not reproduced", "undecided"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Values over seeds: mean, deviation (ddof 1) and t interval of the mean; the last three are nan for one seed."""

    values: tuple[float, ...]
    mean: float
    std: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.std:.3f}" if len(self.values) > 1 else f"{self.mean:.3f}"


@dataclass(frozen=True, slots=True)
class Effect:
    """Paired differences contender - baseline, one per seed, and what follows from them.

    margin: standard deviations by which the mean has to clear zero. excludes_zero: whether the interval does, on the
    claimed side.
    """

    difference: Spread
    margin: float
    better: Better
    verdict: Verdict
    excludes_zero: bool


def spread(values: Sequence[float], *, level: float = 0.95) -> Spread:
    """Mean +- t * std / sqrt(n) (Student 1908). Raises DataError for no value or one that is not finite."""
    found = tuple(float(v) for v in values)
    bad = [i for i, v in enumerate(found) if not math.isfinite(v)]
    if bad or not found:
        what = f"value {bad[0] + 1} of {len(found)} is {found[bad[0]]}" if bad else "there is no value"
        raise DataError(f"spread over seeds: {what}; every seed has to give a finite figure")
    if not 0.0 < level < 1.0:
        raise ConfigError(f"spread over seeds: level is {level}; give a value in (0, 1), for instance 0.95")
    mean = statistics.fmean(found)
    if len(found) == 1:
        return Spread(found, mean, math.nan, math.nan, math.nan, level)
    from scipy.special import stdtrit

    std = statistics.stdev(found)
    half = float(stdtrit(len(found) - 1, (1 + level) / 2)) * std / math.sqrt(len(found))
    return Spread(found, mean, std, mean - half, mean + half, level)


def effect(
    contender: Sequence[float],
    baseline: Sequence[float],
    *,
    better: Better = "higher",
    margin: float = 1.0,
    level: float = 0.95,
) -> Effect:
    """The effect of `contender` over `baseline`, values in the order of the same seeds.

    Undecided with one seed, which has no deviation. Raises DataError when the arms have different numbers of values.
    """
    if len(contender) != len(baseline):
        raise DataError(f"effect: {len(contender)} and {len(baseline)} values; both arms need the same seeds")
    if margin < 0:
        raise ConfigError(f"effect: margin is {margin} standard deviations; give 0 or more")
    difference = spread([c - b for c, b in zip(contender, baseline, strict=True)], level=level)
    sign = 1.0 if better == "higher" else -1.0
    if len(difference.values) == 1:
        return Effect(difference, margin, better, "undecided", excludes_zero=False)
    gain = sign * difference.mean
    # > 0 as well: three equal differences of zero have no deviation to clear, and are no effect
    held = gain > 0 and gain > margin * difference.std
    nearer = difference.low if sign > 0 else -difference.high
    return Effect(difference, margin, better, "reproduced" if held else "not reproduced", excludes_zero=nearer > 0)
