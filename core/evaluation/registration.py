"""How far an estimated alignment of two pictures is from the true one, in pixels or any unit of length.

Shape legend: N = pairs of pictures, P = points. A transform is a 3 x 3 matrix that takes homogeneous (x, y, 1) of the
moving picture, in pixels, to the fixed one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import ConfigError

THRESHOLDS = (3.0, 5.0, 10.0)  # pixels, as the matching literature reports


def transformed(matrix_33: ArrayLike, points_P2: ArrayLike) -> NDArray[np.float64]:
    """Points (x, y) after a transform, float64."""
    points = np.asarray(points_P2, np.float64).reshape(-1, 2)
    out = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ np.asarray(matrix_33, np.float64).T
    return out[:, :2] / out[:, 2:]


def corners(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Centres (x, y) of the four corner pixels of a picture of so many rows and columns."""
    rows, columns = shape
    return np.array([(0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)], np.float64)


def corner_error(estimate_33: ArrayLike, truth_33: ArrayLike, shape: tuple[int, int]) -> float:
    """Mean distance between where two transforms take the corners of a picture, pixels (DeTone et al. 2016)."""
    places = corners(shape)
    return float(np.linalg.norm(transformed(estimate_33, places) - transformed(truth_33, places), axis=1).mean())


def area_under_curve(errors_N: ArrayLike, threshold: float) -> float:
    """Area under the cumulative share of errors from 0 to `threshold`, divided by it: 1 = all errors are 0.

    The mean of max(0, 1 - error / threshold), which is the exact integral; inf and nan count as failures, 0.
    """
    errors = np.nan_to_num(np.asarray(errors_N, np.float64), nan=np.inf)
    if threshold <= 0 or errors.size == 0 or (errors < 0).any():
        raise ConfigError(f"area under the curve of {errors.size} errors up to {threshold}: give some, of at least 0")
    return float(np.clip(1 - errors / threshold, 0, None).mean())


def share_below(errors_N: ArrayLike, threshold: float) -> float:
    """Share of errors of at most `threshold`: of points it is PCK (percentage of correct keypoints), as a share."""
    errors = np.nan_to_num(np.asarray(errors_N, np.float64), nan=np.inf)
    return float((errors <= threshold).mean()) if errors.size else float("nan")


@dataclass(frozen=True, slots=True)
class RegistrationScores:
    """Errors of N pairs. median, mean: pixels, a failed pair with the error that `failed` stands for; failures: share.
    auc, within: threshold -> area under the curve, and share of pairs below it."""

    pairs: int
    median: float
    mean: float
    failures: float
    auc: Mapping[float, float]
    within: Mapping[float, float]

    def flat(self) -> dict[str, float]:
        """Flat name -> number."""
        return {
            "pairs": float(self.pairs),
            "median_px": self.median,
            "mean_px": self.mean,
            "failures": self.failures,
            **{f"auc_{t:g}px": v for t, v in self.auc.items()},
            **{f"within_{t:g}px": v for t, v in self.within.items()},
        }


def registration_scores(
    errors_N: ArrayLike, *, failed: float, thresholds: Sequence[float] = THRESHOLDS
) -> RegistrationScores:
    """Figures over corner errors in pixels, nan or inf where registration failed.

    failed: the error that stands for a failure in median and mean (the picture's diagonal, say), so that a method gains
    nothing by giving up; areas and shares count it as beyond every threshold.
    """
    errors = np.asarray(errors_N, np.float64)
    if errors.size == 0:
        raise ConfigError("registration scores: no pair was measured")
    lost = ~np.isfinite(errors)
    filled = np.where(lost, failed, errors)
    return RegistrationScores(
        pairs=int(errors.size),
        median=float(np.median(filled)),
        mean=float(filled.mean()),
        failures=float(lost.mean()),
        auc={t: area_under_curve(errors, t) for t in thresholds},
        within={t: share_below(errors, t) for t in thresholds},
    )
