"""What a benchmark entry is asked for and what it gives back: values by arm, metric and seed, and claims about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.verdict import Better, Effect, Spread, effect, spread

Values = dict[str, dict[str, tuple[float, ...]]]  # arm -> metric -> one value per seed


@dataclass(frozen=True, slots=True)
class Options:
    """seeds: one paired repetition each. folder: where the entry may write. run: a finished pretraining run, for the
    entries that start from one. overrides: further arguments for the entries that drive a command. full: the sizes of
    acceptance figures, in suites that have two sizes."""

    seeds: tuple[int, ...]
    folder: Path
    run: Path | None = None
    overrides: tuple[str, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """The claim that arm `contender` is better than arm `baseline` in `metric`."""

    metric: str
    contender: str
    baseline: str
    better: Better = "higher"


@dataclass(frozen=True, slots=True)
class Goal:
    """The claim that the mean of `metric` of `arm` is at least `at_least`."""

    metric: str
    arm: str
    at_least: float


@dataclass(frozen=True, slots=True)
class Result:
    """One entry, measured. claim, source, data, rule: texts for the reader. config: all that a rerun needs.
    notes: what else has to be known to read the figures."""

    name: str
    claim: str
    source: str
    data: str
    simulated: bool
    rule: str
    seeds: tuple[int, ...]
    values: Values
    config: Mapping[str, Any]
    comparisons: tuple[Comparison, ...] = ()
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()
    cpu_s: float = 0.0
    wall_s: float = 0.0
    effects: tuple[Effect, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = tuple(
            effect(self.values[c.contender][c.metric], self.values[c.baseline][c.metric], better=c.better)
            for c in self.comparisons
        )
        object.__setattr__(self, "effects", found)

    def spread(self, arm: str, metric: str) -> Spread:
        return spread(self.values[arm][metric])

    def reached(self, goal: Goal) -> bool:
        return self.spread(goal.arm, goal.metric).mean >= goal.at_least


def per_seed(found: Sequence[dict[str, dict[str, float]]]) -> Values:
    """What each seed gave, arm -> metric -> value, as arm -> metric -> values in the order of the seeds."""
    return {arm: {metric: tuple(one[arm][metric] for one in found) for metric in found[0][arm]} for arm in found[0]}
