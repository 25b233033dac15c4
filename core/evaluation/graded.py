"""Ranking by how much each answer is worth, where "right or wrong" says too little: nDCG.

Shape legend: Q = queries, G = gallery rows, L = labels, q = queries of one chunk, K = cut-off.

DCG@K = sum over ranks r = 1..K of gain / log2(r + 1), divided by the best that any order of the whole gallery reaches
(Järvelin and Kekäläinen 2002), with the gain itself and not 2^gain - 1. Tied scores share the mean of their gains
(McSherry and Najork 2008), so the figure does not depend on the order of the gallery. A query to which every row is
worth nothing has no figure and is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ConfigError, DataError
from core.evaluation.bootstrap import Groups, Interval, bootstrap_interval, mean_statistic
from core.evaluation.ranking import TIE_TOLERANCE
from core.evaluation.scores import Scores, Vectors

# What a gallery row is worth to a query, by the labels of both. shared: how many labels they share. contains: 1 where
# the row has every label of the query, and the query has any.
Relevance = Literal["shared", "contains"]


@dataclass(frozen=True, slots=True)
class GradedScores:
    """ndcg[k]: mean over queries, in [0, 1]. chance[k]: of a uniformly random order, exact. each[k]: (Q,), nan for a
    query to which nothing is worth anything; `unmatched` of them. protocol: how it was measured."""

    ndcg: dict[int, Interval]
    chance: dict[int, float]
    each: dict[int, NDArray[np.float64]]
    queries: int
    unmatched: int
    protocol: dict[str, Any]

    def flat(self) -> dict[str, float]:
        """Name -> number: `nDCG@10`, `nDCG@10_low`, `nDCG@10_high`, `nDCG@10_chance`, ..."""
        out: dict[str, float] = {}
        for k, figure in self.ndcg.items():
            out |= figure.flat(f"nDCG@{k}") | {f"nDCG@{k}_chance": self.chance[k]}
        return out


def graded_scores(
    scores: Scores,
    query_labels_QL: Vectors,
    gallery_labels_GL: Vectors,
    *,
    relevance: Relevance = "shared",
    ks: Sequence[int] = (10,),
    chunk: int = 512,
    groups_Q: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
) -> GradedScores:
    """nDCG of one direction of retrieval whose relevance follows from labels: 1 has it, 0 or nan has it not.

    Raises DataError for labels that do not fit the scores and when no query has a relevant row, ConfigError for a
    cut-off below 1 or an unknown relevance.
    """
    has_QL, has_GL = (torch.nan_to_num(torch.as_tensor(x)).double() for x in (query_labels_QL, gallery_labels_GL))
    wanted = ((scores.shape[0], has_QL.shape[1]), (scores.shape[1], has_QL.shape[1]))
    if (has_QL.shape, has_GL.shape) != wanted:
        raise DataError(f"nDCG: labels {tuple(has_QL.shape)} and {tuple(has_GL.shape)} for scores {scores.shape}")
    if min(ks) < 1:
        raise ConfigError(f"nDCG: a cut-off is {min(ks)}; count from 1")
    each = {k: np.full(scores.shape[0], np.nan) for k in ks}
    chance = {k: np.full(scores.shape[0], np.nan) for k in ks}
    for rows, score_qG in scores.blocks(chunk):
        gain_qG = gains(has_QL[rows], has_GL, relevance)
        ranked_qG = gains_in_order(score_qG.cpu(), gain_qG)
        best_qG = gain_qG.sort(dim=1, descending=True).values
        mean_q = gain_qG.mean(dim=1)
        for k in ks:
            ideal_q = discounted(best_qG, k)
            ideal_q = torch.where(ideal_q > 0, ideal_q, torch.nan)
            each[k][rows] = (discounted(ranked_qG, k) / ideal_q).numpy()
            random_q = mean_q * discounted(torch.ones(1, gain_qG.shape[1], dtype=torch.float64), k)
            chance[k][rows] = (random_q / ideal_q).numpy()
    matched_Q = np.isfinite(each[ks[0]])
    if not matched_Q.any():
        raise DataError(f"nDCG: by '{relevance}', no gallery row is worth anything to any of {len(matched_Q)} queries")
    groups_M = None if groups_Q is None else np.asarray(groups_Q)[matched_Q]
    queries = int(matched_Q.sum())
    return GradedScores(
        {
            k: bootstrap_interval(mean_statistic(x[matched_Q]), queries, groups_N=groups_M, n=n_bootstrap, seed=seed)
            for k, x in each.items()
        },
        {k: float(x[matched_Q].mean()) for k, x in chance.items()},
        each,
        queries,
        len(matched_Q) - queries,
        {
            "relevance": {"shared": "number of shared labels", "contains": "1 where all labels of the query are there"}[
                relevance
            ],
            "gain": "the relevance itself, discount 1 / log2(rank + 1), ideal over the whole gallery, ties share",
            "pool_size": scores.shape[1],
            "queries": queries,
            "unmatched_queries": len(matched_Q) - queries,
            "split": split,
        },
    )


def gains(query_labels_qL: Tensor, gallery_labels_GL: Tensor, relevance: Relevance) -> Tensor:
    """(q, G) what each gallery row is worth, of labels that are 0 or 1. Raises ConfigError for an unknown rule."""
    shared_qG = query_labels_qL @ gallery_labels_GL.T
    if relevance == "shared":
        return shared_qG
    if relevance != "contains":
        raise ConfigError(f"nDCG: relevance is '{relevance}'; valid: shared, contains")
    size_q1 = query_labels_qL.sum(dim=1, keepdim=True)
    return ((shared_qG >= size_q1 - 0.5) & (size_q1 > 0)).double()


def gains_in_order(score_qG: Tensor, gain_qG: Tensor) -> Tensor:
    """(q, G) gains by falling score, tied ones replaced by their mean. Neighbours within the tolerance are tied."""
    order_qG = score_qG.argsort(dim=1, descending=True, stable=True)
    sorted_qG, gain_qG = score_qG.gather(1, order_qG), gain_qG.gather(1, order_qG)
    starts_qG = torch.ones_like(order_qG)
    starts_qG[:, 1:] = (sorted_qG[:, :-1] - sorted_qG[:, 1:] > TIE_TOLERANCE).long()
    tie_qG = starts_qG.cumsum(dim=1) - 1
    total_qG = torch.zeros_like(gain_qG).scatter_add_(1, tie_qG, gain_qG)
    count_qG = torch.zeros_like(gain_qG).scatter_add_(1, tie_qG, torch.ones_like(gain_qG))
    return (total_qG / count_qG.clamp(min=1)).gather(1, tie_qG)


def discounted(gain_qG: Tensor, k: int) -> Tensor:
    """(q,) DCG@k of gains in their order."""
    first_qK = gain_qG[:, :k]
    rank_K = torch.arange(1, first_qK.shape[1] + 1, dtype=torch.float64)
    return (first_qK / (rank_K + 1).log2()).sum(dim=1)
