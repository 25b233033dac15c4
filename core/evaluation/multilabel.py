"""Mean average precision and F1 of several labels per row, micro and macro, with intervals that resample groups.

Shape legend: N = rows, L = labels, R = resamples. Labels are 0, 1 or nan (unknown: left out of everything).
Macro: mean over labels that occur. Micro: all (row, label) pairs as one list. F1 is that of scores above `threshold`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation.bootstrap import Floats, Groups, Interval, bootstrap_interval
from core.evaluation.classification import RankedLabel, macro, ranked_labels


def multilabel_scores(
    score_NL: NDArray[np.floating],
    label_NL: NDArray[np.floating],
    *,
    threshold: float = 0.5,
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """ "macro_map", "micro_map", "macro_f1", "micro_f1". Raises DataError for shapes or values that cannot be."""
    columns = ranked_labels(score_NL, label_NL)
    labels = label_NL.shape[1]
    everything = RankedLabel(score_NL.ravel(), label_NL.ravel())
    called_NL = (score_NL > threshold) & np.isfinite(label_NL)
    true_NL = np.nan_to_num(label_NL) > 0.5
    hit_NL, sum_NL = (called_NL & true_NL).astype(float), called_NL.astype(float) + true_NL

    def macro_f1(w_RN: Floats) -> Floats:
        occurs_RL = w_RN @ true_NL.astype(float) > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            return macro(list(np.where(occurs_RL, 2 * (w_RN @ hit_NL) / (w_RN @ sum_NL), np.nan).T))

    def micro_f1(w_RN: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return 2 * (w_RN @ hit_NL.sum(1)) / (w_RN @ sum_NL.sum(1))

    how: dict[str, Any] = {"groups_N": groups_N, "n": n_bootstrap, "seed": seed}
    statistics = {
        "macro_map": lambda w_RN: macro([column.auprc(w_RN) for column in columns]),
        "micro_map": lambda w_RN: everything.auprc(np.repeat(w_RN, labels, axis=1)),
        "macro_f1": macro_f1,
        "micro_f1": micro_f1,
    }
    return {name: bootstrap_interval(statistic, len(score_NL), **how) for name, statistic in statistics.items()}
