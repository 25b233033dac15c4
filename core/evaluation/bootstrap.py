"""The one bootstrap: resample groups with replacement, as integer row weights, so that statistics stay vectorised.

Shape legend: N = rows, R = resamples.
A resample is a row of counts `w_RN`: row n counts `w` times. All rows of a group (a patient, a scene) share their
count, so that correlated rows are drawn together (cluster bootstrap; Davison and Hinkley 1997, section 3.8).
A statistic maps (R, N) weights to (R,) values; `mean_statistic` and `median_statistic` are ready made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
Groups = Sequence[str] | Sequence[int] | NDArray[np.generic] | None

_MAX_WEIGHTS = 2**22  # weights held at once: 32 MB of float64


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its percentile bootstrap interval. low and high are nan when no resample defined the figure."""

    value: float
    low: float
    high: float
    level: float = 0.95
    resamples: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def flat(self, name: str) -> dict[str, float]:
        """`name`, `name_low` and `name_high`, for a summary file."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def group_codes(groups_N: Groups, rows: int) -> NDArray[np.int64]:
    """Groups as codes 0..G-1, (N,). None: every row is its own group. Raises DataError if the lengths differ."""
    if groups_N is None:
        return np.arange(rows, dtype=np.int64)
    values_N = np.asarray(groups_N)
    if values_N.shape != (rows,):
        raise DataError(f"bootstrap: {values_N.shape} groups for {rows} rows; give one group per row")
    return np.unique(values_N, return_inverse=True)[1].reshape(-1).astype(np.int64)


def resample_weights(codes_N: NDArray[np.int64], *, n: int, seed: int) -> Iterator[Floats]:
    """Blocks of row weights, together (n, N). The draws depend on the seed and the number of groups alone."""
    if n < 1:
        raise ConfigError(f"bootstrap: n is {n}; ask for at least 1 resample")
    rng = np.random.default_rng(seed)
    groups = int(codes_N.max()) + 1
    block = max(1, _MAX_WEIGHTS // max(len(codes_N), groups))
    for start in range(0, n, block):
        rows = min(block, n - start)
        drawn_RG = rng.integers(0, groups, size=(rows, groups)) + np.arange(rows)[:, None] * groups
        counts_RG = np.bincount(drawn_RG.ravel(), minlength=rows * groups).reshape(rows, groups)
        yield counts_RG[:, codes_N].astype(np.float64)


def bootstrap_interval(
    statistic: Statistic, rows: int, *, groups_N: Groups = None, n: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The statistic on all rows, and the percentile interval of its resamples.

    statistic: (R, N) float64 weights -> (R,) float64; nan where it is undefined on a resample (left out, and counted
    in `Interval.resamples`). groups_N: what is drawn together; None draws rows.
    Raises DataError for no rows or a wrong number of groups, ConfigError for a level outside (0, 1).
    """
    if rows < 1:
        raise DataError("bootstrap: no rows; there is nothing to resample")
    if not 0.0 < level < 1.0:
        raise ConfigError(f"bootstrap: level is {level}; give a value in (0, 1), for instance 0.95")
    value = float(statistic(np.ones((1, rows)))[0])
    codes_N = group_codes(groups_N, rows)
    values_R = np.concatenate([statistic(w_RN) for w_RN in resample_weights(codes_N, n=n, seed=seed)])
    values_R = values_R[np.isfinite(values_R)]
    if not len(values_R):
        return Interval(value, float("nan"), float("nan"), level, 0)
    low, high = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level, len(values_R))


def mean_statistic(x_N: NDArray[np.floating]) -> Statistic:
    """The weighted mean of the rows that are not nan; nan where a resample has none of them."""
    known_N = np.isfinite(x_N)
    filled_N = np.where(known_N, x_N, 0.0).astype(np.float64)

    def statistic(w_RN: Floats) -> Floats:
        total_R = w_RN @ known_N.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total_R > 0, (w_RN @ filled_N) / total_R, np.nan)

    return statistic


def median_statistic(x_N: NDArray[np.floating]) -> Statistic:
    """The median of the resampled rows: as `numpy.median` of each row repeated by its weight. nan rows do not count."""
    known_N = np.isfinite(x_N)
    order_K = np.argsort(np.asarray(x_N)[known_N], kind="stable")
    sorted_K = np.asarray(x_N, dtype=np.float64)[known_N][order_K]

    def statistic(w_RN: Floats) -> Floats:
        if not len(sorted_K):
            return np.full(len(w_RN), np.nan)
        below_RK = np.cumsum(w_RN[:, known_N][:, order_K], axis=1)
        total_R = below_RK[:, -1]
        # 0-based positions of the two middle rows; the k-th row is the first whose cumulated weight exceeds k
        lower_R = (below_RK > ((total_R - 1) // 2)[:, None]).argmax(axis=1)
        upper_R = (below_RK > (total_R // 2)[:, None]).argmax(axis=1)
        return np.where(total_R > 0, (sorted_K[lower_R] + sorted_K[upper_R]) / 2, np.nan)

    return statistic
