"""How near predicted values are to measured ones, with intervals that draw groups together.

Shape legend: N = rows with a known value, R = resamples, U = distinct values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.evaluation.bootstrap import Floats, Groups, Interval, Statistic, bootstrap_interval


@dataclass(frozen=True, slots=True)
class RegressionScores:
    """r2: 1 - sum of squared errors / sum of squares about the mean of the scored rows, so that this mean has 0 and no
    lower limit exists. rmse, mae, deviation (of the true values; the rmse of that mean): in the unit of the values.
    spearman: rank correlation, nan when either side is constant. rows: those with a known value.
    """

    r2: Interval
    rmse: Interval
    mae: Interval
    spearman: Interval
    deviation: float
    rows: int

    def flat(self) -> dict[str, float]:
        """Name -> number: `R2`, `RMSE`, `MAE`, `spearman` with their intervals, `deviation`, `rows`."""
        out = self.r2.flat("R2") | self.rmse.flat("RMSE") | self.mae.flat("MAE") | self.spearman.flat("spearman")
        return out | {"deviation": self.deviation, "rows": float(self.rows)}


def regression_scores(
    predicted_N: ArrayLike, true_N: ArrayLike, *, groups_N: Groups = None, n_bootstrap: int = 1000, seed: int = 0
) -> RegressionScores:
    """Score predictions in the unit of the values; rows whose true value is nan do not count.

    groups_N: what is drawn together in the intervals (a place, a patient). Raises DataError when no value is known, for
    lengths that differ and for predictions that are not finite.
    """
    predicted, true = (np.asarray(x, dtype=np.float64) for x in (predicted_N, true_N))
    if predicted.shape != true.shape or true.ndim != 1:
        raise DataError(f"regression: predictions {predicted.shape}, values {true.shape}; give one of each per row")
    known = np.isfinite(true)
    if not known.any():
        raise DataError("regression: no row has a known value; there is nothing to score")
    p, y = predicted[known], true[known]
    if not np.isfinite(p).all():
        raise DataError(f"regression: {int((~np.isfinite(p)).sum())} of {len(p)} predictions are not finite")
    groups = None if groups_N is None else np.asarray(groups_N)[known]

    def interval(statistic: Statistic) -> Interval:
        return bootstrap_interval(statistic, len(y), groups_N=groups, n=n_bootstrap, seed=seed)

    return RegressionScores(
        interval(r2_statistic(p, y)),
        interval(lambda w_RN: np.sqrt(_mean(w_RN, (p - y) ** 2))),
        interval(lambda w_RN: _mean(w_RN, np.abs(p - y))),
        interval(spearman_statistic(p, y)),
        float(y.std()),
        len(y),
    )


def r2_statistic(predicted_N: Floats, true_N: Floats) -> Statistic:
    """Coefficient of determination about the weighted mean; nan where the values of a resample are all the same."""
    centred_N = true_N - true_N.mean()  # the same spread, without the rounding of large means
    error_N = (predicted_N - true_N) ** 2
    same = 1e-12 * float((centred_N**2).mean())

    def statistic(w_RN: Floats) -> Floats:
        spread_R = _mean(w_RN, centred_N**2) - _mean(w_RN, centred_N) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread_R > same, 1 - _mean(w_RN, error_N) / spread_R, np.nan)

    return statistic


def spearman_statistic(a_N: Floats, b_N: Floats) -> Statistic:
    """Spearman's rho of the rows repeated by their weights, ties at their mean rank; nan where a side is constant."""
    rank_a, rank_b = _mean_ranks(a_N), _mean_ranks(b_N)

    def statistic(w_RN: Floats) -> Floats:
        total_R1 = w_RN.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            a_RN, b_RN = (rank(w_RN) - (total_R1 + 1) / 2 for rank in (rank_a, rank_b))  # the mean rank taken off
            covariance_R = (w_RN * a_RN * b_RN).sum(axis=1)
            variance_R = (w_RN * a_RN**2).sum(axis=1) * (w_RN * b_RN**2).sum(axis=1)
            return np.where(variance_R > 0, covariance_R / np.sqrt(variance_R), np.nan)

    return statistic


def _mean_ranks(x_N: Floats) -> Statistic:
    """(R, N) weights -> (R, N) 1-based mean rank of each row among the rows repeated by their weights."""
    _, place_N = np.unique(x_N, return_inverse=True)
    order_N = np.argsort(place_N, kind="stable")
    first_U = np.searchsorted(place_N[order_N], np.arange(int(place_N.max()) + 1))

    def ranks(w_RN: Floats) -> Floats:
        count_RU: NDArray[np.float64] = np.add.reduceat(w_RN[:, order_N], first_U, axis=1)
        below_RU = np.cumsum(count_RU, axis=1) - count_RU
        return (below_RU + (count_RU + 1) / 2)[:, place_N]

    return ranks


def _mean(w_RN: Floats, x_N: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (w_RN @ x_N) / w_RN.sum(axis=1)
