"""Does a query find its answer equally well in every language? Shape legend: N = items, L = languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.errors import DataError
from core.evaluation.bootstrap import Groups, Interval, bootstrap_interval, mean_statistic


@dataclass(frozen=True, slots=True)
class LanguageConsistency:
    """rank_variance: mean rank variance, MRV of the paper: mean over items of the variance over languages of the rank.
    rank_deviation: mean over items of its standard deviation, what the released script prints; not the root of MRV.
    Both lower is better, 0 when every item has one rank. recall[language][k], and recall_spread[k], best minus worst
    language. items: those with a rank in every language."""

    rank_variance: Interval
    rank_deviation: Interval
    recall: dict[str, dict[int, float]]
    recall_spread: dict[int, float]
    items: int

    def flat(self) -> dict[str, float]:
        """Name -> number: `MRV`, `rank_deviation` with their intervals, `R@1_spread`, `R@1/<language>`, ..."""
        out = self.rank_variance.flat("MRV") | self.rank_deviation.flat("rank_deviation")
        out |= {f"R@{k}_spread": spread for k, spread in self.recall_spread.items()}
        return out | {f"R@{k}/{name}": v for name, recall in self.recall.items() for k, v in recall.items()}


def language_consistency(
    rank_N: Mapping[str, ArrayLike],
    *,
    ks: Sequence[int] = (1, 5, 10),
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> LanguageConsistency:
    """Figures of one direction of retrieval (Nie et al. 2024, 1-to-K).

    rank_N: language -> 1-based ranks of the same N items in the same order, as `Ranking.rank`; each language searched
    in a gallery of its own and of equal size. Variances are over the L languages at hand (divided by L).
    Raises DataError for fewer than two languages, for lengths that differ, or when no item has all ranks.
    """
    if len(rank_N) < 2:
        raise DataError(f"language consistency: {len(rank_N)} languages; a spread needs at least two")
    columns = {name: np.asarray(rank, dtype=np.float64) for name, rank in rank_N.items()}
    if len({column.shape for column in columns.values()}) > 1:
        sizes = {name: column.shape for name, column in columns.items()}
        raise DataError(
            f"language consistency: numbers of items differ: {sizes}; rank the same items in every language"
        )
    rank_NL = np.stack(list(columns.values()), axis=1)
    known_N = np.isfinite(rank_NL).all(axis=1)
    if not known_N.any():
        raise DataError("language consistency: no item has a rank in every language")
    rank_ML = rank_NL[known_N]
    groups_M = None if groups_N is None else np.asarray(groups_N)[known_N]

    def mean(x_M: np.ndarray) -> Interval:
        return bootstrap_interval(mean_statistic(x_M), len(x_M), groups_N=groups_M, n=n_bootstrap, seed=seed)

    recall = {
        name: {k: float((rank_ML[:, i] <= k).mean()) for k in ks} for i, name in enumerate(columns)
    }  # fmt: skip
    spread = {k: max(r[k] for r in recall.values()) - min(r[k] for r in recall.values()) for k in ks}
    return LanguageConsistency(
        mean(rank_ML.var(axis=1)), mean(rank_ML.std(axis=1)), recall, spread, int(known_N.sum())
    )  # fmt: skip
