"""What a model that learned tasks one after the other has kept.

Shape legend: T = tasks. `figure_TT[t, k]`: a figure on task k (larger is better) of the model that has learned tasks
0 .. t. Entries above the diagonal are tasks not yet seen; they may be nan unless a function says that it needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError

Figures = NDArray[np.float64]


def seen_figures(figure_TT: ArrayLike) -> Figures:
    """The matrix as float64. Raises DataError unless it is square with a number at every task that was seen."""
    out_TT = np.asarray(figure_TT, dtype=np.float64)
    if out_TT.ndim != 2 or out_TT.shape[0] != out_TT.shape[1] or out_TT.size == 0:
        raise DataError(f"continual figures: shape is {out_TT.shape}; give one row and one column per task")
    if not np.isfinite(out_TT[np.tril_indices(len(out_TT))]).all():
        raise DataError("continual figures: nan or inf at or below the diagonal; score every seen task after each task")
    return out_TT


def average_figure(figure_TT: ArrayLike) -> float:
    """Mean over all tasks at the end: (1/T) sum_k R[T-1, k] (Lopez-Paz and Ranzato 2017)."""
    return float(seen_figures(figure_TT)[-1].mean())


def average_over_time(figure_TT: ArrayLike) -> float:
    """Mean over t of the mean over the tasks seen by then ("average incremental", Rebuffi et al. 2017)."""
    seen = seen_figures(figure_TT)
    return float(np.mean([seen[t, : t + 1].mean() for t in range(len(seen))]))


def backward_transfer(figure_TT: ArrayLike) -> float:
    """Mean over the earlier tasks of R[T-1, k] - R[k, k]; below 0 is forgetting (Lopez-Paz and Ranzato 2017).

    0 for a single task."""
    seen = seen_figures(figure_TT)
    return 0.0 if len(seen) == 1 else float((seen[-1] - seen.diagonal())[:-1].mean())


def forgetting(figure_TT: ArrayLike) -> float:
    """Mean over the earlier tasks of max_{k <= t < T-1} R[t, k] - R[T-1, k]; 0 is best (Chaudhry et al. 2018).

    May be negative, when a later task helped. 0 for a single task."""
    seen = seen_figures(figure_TT)
    last = len(seen) - 1
    return 0.0 if last == 0 else float(np.mean([seen[k:last, k].max() - seen[last, k] for k in range(last)]))


def forward_transfer(figure_TT: ArrayLike, untrained_T: Sequence[float]) -> float:
    """Mean over k > 0 of R[k-1, k] - untrained[k]: what earlier tasks gave to a task before it was learned.

    untrained_T: the figure of the model before any task. Raises DataError where R[k-1, k] was not measured."""
    seen = seen_figures(figure_TT)
    if len(untrained_T) != len(seen):
        raise DataError(f"forward transfer: {len(untrained_T)} untrained figures for {len(seen)} tasks; give one each")
    ahead = [seen[k - 1, k] - untrained_T[k] for k in range(1, len(seen))]
    if not np.isfinite(ahead).all():
        raise DataError(
            "forward transfer: needs each task scored before it is learned (the entries above the diagonal)"
        )
    return float(np.mean(ahead)) if ahead else 0.0


@dataclass(frozen=True, slots=True)
class ContinualScores:
    """average, over_time: means at the end and over time. backward: backward transfer. forgetting: mean drop from the
    best. last: (T,) figures of each task at the end."""

    average: float
    over_time: float
    backward: float
    forgetting: float
    last: tuple[float, ...]

    def flat(self) -> dict[str, float]:
        """Name -> number."""
        names = ("average", "over_time", "backward", "forgetting")
        return {name: getattr(self, name) for name in names} | {f"task_{k}": v for k, v in enumerate(self.last)}


def continual_scores(figure_TT: ArrayLike) -> ContinualScores:
    """All of them from one matrix."""
    return ContinualScores(
        average=average_figure(figure_TT),
        over_time=average_over_time(figure_TT),
        backward=backward_transfer(figure_TT),
        forgetting=forgetting(figure_TT),
        last=tuple(seen_figures(figure_TT)[-1].tolist()),
    )
