"""Figures of a confusion matrix with intervals: one class per row (scene classification), or per pixel (change).

Shape legend: N = rows that are resampled, K = classes, R = resamples. A matrix counts by [true class, predicted class].
Overall accuracy: share of counts that are right. Average accuracy: mean over classes of the share of a class that is
found (recall). F1 = 2 hits / (true + predicted); IoU = hits / (true + predicted - hits). A class that does not occur in
the truth is left out of means. Counts are added up before anything is divided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.bootstrap import Floats, Groups, Interval, Statistic, bootstrap_interval


def confusion_figures(confusion_KK: Floats) -> dict[str, Floats]:
    """(..., K, K) counts -> "accuracy", "average_accuracy", "macro_f1" (...), and "f1", "iou", "precision", "recall"
    (..., K); nan where nothing can be said."""
    hit = np.diagonal(confusion_KK, axis1=-2, axis2=-1)
    true, called = confusion_KK.sum(-1), confusion_KK.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        occurs = true > 0
        recall = np.where(occurs, hit / true, np.nan)
        f1 = np.where(occurs, 2 * hit / (true + called), np.nan)
        return {
            "accuracy": hit.sum(-1) / confusion_KK.sum((-2, -1)),
            "average_accuracy": _mean(recall),
            "macro_f1": _mean(f1),
            "f1": f1,
            "iou": np.where(occurs, hit / (true + called - hit), np.nan),
            "precision": np.where(called > 0, hit / called, np.nan),
            "recall": recall,
        }


def confusion_scores(
    confusion_NKK: NDArray[np.integer],
    classes: Sequence[str],
    *,
    of: Sequence[str] = ("accuracy", "average_accuracy", "macro_f1"),
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Figures over all N rows with 95% intervals that resample groups.

    of: names of `confusion_figures`; one of a single class is written "f1/<class>".
    Raises DataError when nothing was counted, or for a class that is not among `classes`.
    """
    flat_NX = np.asarray(confusion_NKK, np.float64).reshape(len(confusion_NKK), -1)
    if not flat_NX.any():
        raise DataError("confusion: nothing is labelled; there is nothing to score")
    k = len(classes)

    def statistic(name: str) -> Statistic:
        figure, _, wanted = name.partition("/")
        if wanted and wanted not in classes:
            raise DataError(f"confusion: '{wanted}' is not among the classes {', '.join(classes)}")

        def of_weights(w_RN: Floats) -> Floats:
            found = confusion_figures((w_RN @ flat_NX).reshape(-1, k, k))[figure]
            return found[:, list(classes).index(wanted)] if wanted else found

        return of_weights

    how: dict[str, Any] = {"groups_N": groups_N, "n": n_bootstrap, "seed": seed}
    return {name: bootstrap_interval(statistic(name), len(flat_NX), **how) for name in of}


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0).sum(-1) / known.sum(-1)
