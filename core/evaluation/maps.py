"""Scores of label maps from confusion matrices over labelled pixels.

Shape legend: N = maps, K = classes, R = resamples. A confusion matrix counts pixels by [true class, predicted class].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.bootstrap import Floats, Groups, Interval, Statistic, bootstrap_interval

IGNORED = -1


def confusion(predicted: NDArray[np.integer], target: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """(K, K) counts of [true, predicted] over pixels whose target is not -1. Raises DataError for another class."""
    known = target != IGNORED
    t, p = target[known].astype(np.int64), predicted[known].astype(np.int64)
    for name, values in (("label", t), ("prediction", p)):
        if len(values) and not (values.min() >= 0 and values.max() < classes):
            raise DataError(
                f"label map: {name} {values.min()} to {values.max()} is outside the {classes} classes 0 to "
                f"{classes - 1}; name every class of the data, or make unknown ones -1"
            )
    return np.bincount(t * classes + p, minlength=classes**2).reshape(classes, classes)


def iou(confusion_KK: Floats) -> Floats:
    """(..., K) intersection over union; nan for a class that no pixel has, whatever was predicted."""
    hit_K = np.diagonal(confusion_KK, axis1=-2, axis2=-1)
    true_K, predicted_K = confusion_KK.sum(-1), confusion_KK.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true_K > 0, hit_K / (true_K + predicted_K - hit_K), np.nan)


@dataclass(frozen=True, slots=True)
class MapScores:
    """mean_iou: over the classes that occur, with a 95% interval that resamples groups of maps. accuracy: share of
    labelled pixels that are right. iou: by class, nan where the class does not occur. confusion: (K, K) pixels."""

    classes: tuple[str, ...]
    mean_iou: Interval
    accuracy: Interval
    iou: dict[str, float]
    confusion: NDArray[np.int64]

    def flat(self) -> dict[str, float]:
        """`mean_iou` and `accuracy` (+ _low, _high), `iou/<class>`."""
        return (
            self.mean_iou.flat("mean_iou")
            | self.accuracy.flat("accuracy")
            | {f"iou/{name}": value for name, value in self.iou.items()}
        )


def map_scores(
    confusion_NKK: NDArray[np.int64],
    classes: Sequence[str],
    *,
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> MapScores:
    """Scores of N maps; counts are added up before anything is divided (dataset-level IoU).

    groups_N: what is resampled together (a place). Raises DataError when nothing is labelled.
    """
    total_KK = confusion_NKK.sum(0)
    if not total_KK.any():
        raise DataError("label maps: no pixel is labelled; there is nothing to score")
    flat_NX = confusion_NKK.reshape(len(confusion_NKK), -1).astype(np.float64)
    mean_iou = _mean_iou(confusion_NKK)

    def accuracy(w_RN: Floats) -> Floats:
        sum_RKK = (w_RN @ flat_NX).reshape(len(w_RN), *total_KK.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.trace(sum_RKK, axis1=1, axis2=2) / sum_RKK.sum((1, 2))

    how: dict[str, Any] = {"groups_N": groups_N, "n": n_bootstrap, "seed": seed}
    return MapScores(
        tuple(classes),
        bootstrap_interval(mean_iou, len(flat_NX), **how),
        bootstrap_interval(accuracy, len(flat_NX), **how),
        dict(zip(classes, map(float, iou(total_KK.astype(np.float64))), strict=True)),
        total_KK,
    )


def map_difference(
    ours: Sequence[NDArray[np.int64]],
    theirs: Sequence[NDArray[np.int64]],
    *,
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean over runs of mIoU(ours) - mIoU(theirs), (N, K, K) counts of the same maps in the same order for each run.

    A resample draws groups once for all runs and both sides: what the choice of maps does to both cancels.
    """
    pairs = [(_mean_iou(a), _mean_iou(b)) for a, b in zip(ours, theirs, strict=True)]
    if not pairs or len({len(counts) for counts in (*ours, *theirs)}) > 1:
        raise DataError("label maps: both sides need runs, all on the same maps")

    def difference(w_RN: Floats) -> Floats:
        return np.mean([a(w_RN) - b(w_RN) for a, b in pairs], axis=0)

    return bootstrap_interval(difference, len(ours[0]), groups_N=groups_N, n=n_bootstrap, seed=seed)


def _mean_iou(confusion_NKK: NDArray[np.int64]) -> Statistic:
    """mIoU over the classes that occur, as a statistic of row weights."""
    flat_NX = confusion_NKK.reshape(len(confusion_NKK), -1).astype(np.float64)

    def statistic(w_RN: Floats) -> Floats:
        iou_RK = iou((w_RN @ flat_NX).reshape(len(w_RN), *confusion_NKK.shape[1:]))
        known_RK = np.isfinite(iou_RK)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(known_RK, iou_RK, 0).sum(1) / known_RK.sum(1)

    return statistic


def map_protocol() -> dict[str, Any]:
    """The rules, for a report."""
    return {
        "mIoU": "pixels of all maps are counted together; mean over the classes that occur",
        "unlabelled pixels": "left out",
        "interval": "95%, percentile bootstrap over groups",
    }
