"""Segmentation figures over cases: mean and deviation per class, then over classes. Legend: C = cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.bootstrap import Floats, Groups, Interval, bootstrap_interval, mean_statistic
from core.evaluation.classification import macro
from core.evaluation.segmentation import ClassScores

_METRICS = ("dice", "hd95", "nsd")


@dataclass(frozen=True, slots=True)
class MeanStd:
    """Mean and deviation (ddof 1) over the `cases` in which the figure is defined; nan with count 0 where none is."""

    mean: float
    std: float
    cases: int


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class over all cases, with the number of cases in which it was missed, invented or absent from both."""

    dice: MeanStd
    hd95: MeanStd
    nsd: MeanStd
    missed: int
    false_positive: int
    absent: int


@dataclass(frozen=True, slots=True)
class SegmentationScores:
    """classes: name -> summary. mean_dice, mean_hd95, mean_nsd: mean over the classes that were seen, of the mean over
    cases, with a 95% interval that resamples cases."""

    classes: dict[str, ClassSummary]
    mean_dice: Interval
    mean_hd95: Interval
    mean_nsd: Interval
    cases: int
    protocol: dict[str, Any]

    def flat(self) -> dict[str, float]:
        """`mean_dice` (+ _low, _high), `mean_hd95`, `mean_nsd`, `dice/<class>`, `dice_std/<class>`, ..."""
        out = self.mean_dice.flat("mean_dice") | self.mean_hd95.flat("mean_hd95") | self.mean_nsd.flat("mean_nsd")
        for name, s in self.classes.items():
            for metric in _METRICS:
                figure: MeanStd = getattr(s, metric)
                out |= {f"{metric}/{name}": figure.mean, f"{metric}_std/{name}": figure.std}
            out |= {f"missed/{name}": float(s.missed), f"false_positive/{name}": float(s.false_positive)}
        return out


def summarise_segmentation(
    cases: Sequence[dict[str, ClassScores]],
    *,
    protocol: dict[str, Any],
    groups_C: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> SegmentationScores:
    """Aggregate the results of `segmentation_case`, which must all have the same classes.

    A class that no case defines is nan and left out of the mean over classes. Raises DataError for no cases.
    """
    if not cases or any(case.keys() != cases[0].keys() for case in cases):
        raise DataError("segmentation: needs at least one case, and the same classes in every case")
    names = list(cases[0])
    values = {m: {name: np.array([getattr(c[name], m) for c in cases]) for name in names} for m in _METRICS}

    def over_classes(metric: str) -> Interval:
        each = [mean_statistic(x_C) for x_C in values[metric].values()]

        def statistic(w_RN: Floats) -> Floats:
            return macro([mean(w_RN) for mean in each])

        return bootstrap_interval(statistic, len(cases), groups_N=groups_C, n=n_bootstrap, seed=seed)

    classes = {}
    for name in names:
        outcomes = [case[name].outcome for case in cases]
        classes[name] = ClassSummary(
            dice=_mean_std(values["dice"][name]),
            hd95=_mean_std(values["hd95"][name]),
            nsd=_mean_std(values["nsd"][name]),
            missed=outcomes.count("missed"),
            false_positive=outcomes.count("false_positive"),
            absent=outcomes.count("absent"),
        )
    return SegmentationScores(
        classes, over_classes("dice"), over_classes("hd95"), over_classes("nsd"), len(cases), protocol
    )


def _mean_std(x_C: NDArray[np.float64]) -> MeanStd:
    known = x_C[np.isfinite(x_C)]
    if not len(known):
        return MeanStd(float("nan"), float("nan"), 0)
    return MeanStd(float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else 0.0, len(known))
