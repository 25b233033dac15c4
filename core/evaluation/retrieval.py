"""Retrieval scores with intervals, exact chance levels and the protocol that makes two numbers comparable.

Shape legend: Q = queries, G = gallery rows, E = embedding width, N = paired rows or images, C = captions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.errors import DataError
from core.evaluation.bootstrap import Groups, Interval, bootstrap_interval, mean_statistic, median_statistic
from core.evaluation.ranking import TIE_TOLERANCE, Keys, Ties, ranks_of
from core.evaluation.scores import Scores, Vectors, cosine_scores


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """One direction of retrieval.

    recall[k]: share of queries whose best positive has rank at most k. precision[k]: mean share of positives among the
    first k. median_rank: 1-based. mrr: mean of 1 / rank. mean_average_precision: over all positives of a query.
    mean_inverse_penalty: mINP, mean of positives / rank of the last one. normalised_rank: mean of rank / pool size.
    chance_recall[k], chance_median_rank, chance_mrr: the exact values of a uniformly random ranking of the same pool
    with the same duplicates. unmatched: queries without a positive in the pool, left out of every figure.
    rank: (Q,) ranks, nan where unmatched. protocol: how it was measured.
    """

    recall: dict[int, Interval]
    precision: dict[int, Interval]
    median_rank: Interval
    mrr: Interval
    mean_average_precision: Interval
    mean_inverse_penalty: Interval
    normalised_rank: Interval
    chance_recall: dict[int, float]
    chance_median_rank: float
    chance_mrr: float
    queries: int
    unmatched: int
    pool_size: int
    rank: NDArray[np.float64]
    protocol: dict[str, Any]

    def flat(self) -> dict[str, float]:
        """Name -> number: `R@5`, `R@5_low`, `R@5_high`, `R@5_chance`, `median_rank`, `mrr`, `mAP`, `pool_size`, ...

        `mINP` is there when a query has several positives; with one it equals `mrr`.
        """
        out: dict[str, float] = {}
        for k, figure in self.recall.items():
            out |= figure.flat(f"R@{k}") | {f"R@{k}_chance": self.chance_recall[k]}
        for k, figure in self.precision.items():
            out[f"P@{k}"] = figure.value
        out |= self.median_rank.flat("median_rank") | self.mrr.flat("mrr") | self.mean_average_precision.flat("mAP")
        if self.protocol["mean_positives"] > 1:
            out |= self.mean_inverse_penalty.flat("mINP")
        return out | {
            "median_rank_chance": self.chance_median_rank,
            "mrr_chance": self.chance_mrr,
            "pool_size": float(self.pool_size),
            "queries": float(self.queries),
            "unmatched": float(self.unmatched),
        }


def retrieval_scores(
    queries_QE: Vectors,
    gallery_GE: Vectors,
    query_keys_Q: Keys,
    gallery_keys_G: Keys,
    *,
    ks: Sequence[int] = (1, 5, 10),
    ties: Ties = "mean",
    chunk: int = 512,
    exclude_QG: Tensor | None = None,
    groups_Q: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
) -> RetrievalScores:
    """Score one direction by cosine; the arguments are those of `retrieval_of`. Raises DataError as it does."""
    return retrieval_of(
        cosine_scores(queries_QE, gallery_GE), query_keys_Q, gallery_keys_G, ks=ks, ties=ties, chunk=chunk,
        exclude_QG=exclude_QG, groups_Q=groups_Q, n_bootstrap=n_bootstrap, seed=seed, split=split,
    )  # fmt: skip


def retrieval_of(
    scores: Scores,
    query_keys_Q: Keys,
    gallery_keys_G: Keys,
    *,
    ks: Sequence[int] = (1, 5, 10),
    ties: Ties = "mean",
    chunk: int = 512,
    exclude_QG: Tensor | None = None,
    groups_Q: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
) -> RetrievalScores:
    """Score one direction by scores of any kind; ranks and their rules are those of `core.evaluation.ranking`.

    The interval resamples queries (by group where `groups_Q` is given) and holds the gallery fixed.
    split: name or hash of the evaluated split, kept in the protocol.
    Raises DataError when no query has a positive, and as `ranks_of` does.
    """
    found = ranks_of(scores, query_keys_Q, gallery_keys_G, chunk=chunk, ties=ties, exclude_QG=exclude_QG, ks=ks)
    matched_Q = found.positives > 0
    queries = int(matched_Q.sum())
    if not queries:
        raise DataError(
            f"retrieval: none of {len(matched_Q)} queries has an equal key in the gallery; check that both sides use "
            "the same kind of key"
        )
    rank_M = found.rank[matched_Q]
    groups_M = None if groups_Q is None else np.asarray(groups_Q)[matched_Q]

    def mean(x_M: NDArray[np.floating]) -> Interval:
        return bootstrap_interval(mean_statistic(x_M), queries, groups_N=groups_M, n=n_bootstrap, seed=seed)

    median = bootstrap_interval(median_statistic(rank_M), queries, groups_N=groups_M, n=n_bootstrap, seed=seed)
    chance, chance_median, chance_mrr = chance_levels(found.positives[matched_Q], found.pool[matched_Q], ks=ks)
    protocol = {
        "similarity": scores.similarity,
        "positives": "equal keys; duplicates are hits; other positives never push an answer down",
        "ties": ties,
        "tie_tolerance": TIE_TOLERANCE,
        "rank_base": 1,
        "pool_size": scores.shape[1],
        "queries": queries,
        "unmatched_queries": len(matched_Q) - queries,
        "mean_positives": round(float(found.positives[matched_Q].mean()), 4),
        "excluded_pairs": 0 if exclude_QG is None else int(exclude_QG.sum()),
        "bootstrap": {"n": n_bootstrap, "seed": seed, "unit": "query" if groups_Q is None else "group", "level": 0.95},
        "split": split,
    }
    return RetrievalScores(
        recall={k: mean((rank_M <= k).astype(np.float64)) for k in ks},
        precision={k: mean(found.hits[matched_Q, i] / k) for i, k in enumerate(ks)},
        median_rank=median,
        mrr=mean(1.0 / rank_M),
        mean_average_precision=mean(found.average_precision[matched_Q]),
        mean_inverse_penalty=mean(found.inverse_penalty[matched_Q]),
        normalised_rank=mean(found.normalised_rank[matched_Q]),
        chance_recall=chance,
        chance_median_rank=chance_median,
        chance_mrr=chance_mrr,
        queries=queries,
        unmatched=len(matched_Q) - queries,
        pool_size=scores.shape[1],
        rank=found.rank,
        protocol=protocol,
    )


def two_way_retrieval(
    a_NE: Vectors,
    b_NE: Vectors,
    keys_N: Keys,
    *,
    names: tuple[str, str] = ("a", "b"),
    ks: Sequence[int] = (1, 5, 10),
    ties: Ties = "mean",
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
) -> dict[str, RetrievalScores]:
    """Both directions of paired rows, by name: {"a_to_b": ..., "b_to_a": ...}.

    keys_N: what makes two rows the same answer, usually the content of the b side (equal texts have equal keys).
    """
    a, b = names
    both = {f"{a}_to_{b}": (a_NE, b_NE), f"{b}_to_{a}": (b_NE, a_NE)}
    return {
        name: retrieval_scores(
            queries, gallery, keys_N, keys_N,
            ks=ks, ties=ties, groups_Q=groups_N, n_bootstrap=n_bootstrap, seed=seed, split=split,
        )
        for name, (queries, gallery) in both.items()
    }  # fmt: skip


def caption_retrieval(
    images_NE: Vectors,
    captions_CE: Vectors,
    image_of_C: Keys,
    *,
    ks: Sequence[int] = (1, 5, 10),
    ties: Ties = "mean",
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
) -> dict[str, RetrievalScores]:
    """Both directions where an image has several captions: {"image_to_text": ..., "text_to_image": ...}.

    image_of_C: row of the image that each caption belongs to. An image's rank is that of the best of its captions, its
    other captions do not push that one down; a caption's rank is that of its image. Captions of an image are drawn
    together in the intervals.
    """
    image_C = np.asarray(image_of_C)
    if image_C.dtype.kind not in "iu" or len(image_C) == 0 or image_C.min() < 0 or image_C.max() >= len(images_NE):
        raise DataError(f"caption retrieval: image_of must hold row numbers 0 to {len(images_NE) - 1}, one per caption")
    image_N = np.arange(len(images_NE))
    common: dict[str, Any] = {"ks": ks, "ties": ties, "n_bootstrap": n_bootstrap, "seed": seed, "split": split}
    return {
        "image_to_text": retrieval_scores(images_NE, captions_CE, image_N, image_C, **common),
        "text_to_image": retrieval_scores(captions_CE, images_NE, image_C, image_N, groups_Q=image_C, **common),
    }


def mean_recall(scores: Mapping[str, RetrievalScores]) -> float:
    """Mean of R@k over directions and cut-offs, in [0, 1]."""
    return float(np.mean([figure.value for s in scores.values() for figure in s.recall.values()]))


def rsum(scores: Mapping[str, RetrievalScores]) -> float:
    """Sum of R@k in percent over directions and cut-offs: at most 600 for two directions and R@1, R@5, R@10."""
    return 100.0 * float(np.sum([figure.value for s in scores.values() for figure in s.recall.values()]))


def mean_recall_interval(
    scores: Mapping[str, RetrievalScores], *, groups_Q: Groups = None, n_bootstrap: int = 1000, seed: int = 0
) -> Interval:
    """`mean_recall` of directions whose queries are the same paired rows, with an interval that draws a pair with both
    of its queries. RSUM is this times 100 times the number of recalls.

    Raises DataError when the directions have different numbers of queries.
    """
    if len({len(s.rank) for s in scores.values()}) > 1:
        raise DataError("mean recall: the directions have different numbers of queries; their rows are no pairs")
    rank_SQ = np.stack([s.rank for s in scores.values()])
    ks = np.array(list(next(iter(scores.values())).recall))
    hit_SQ = np.where(np.isnan(rank_SQ), np.nan, (rank_SQ[..., None] <= ks).mean(axis=-1))
    statistics = [mean_statistic(hit_Q) for hit_Q in hit_SQ]
    return bootstrap_interval(
        lambda w_RQ: np.mean([statistic(w_RQ) for statistic in statistics], axis=0),
        rank_SQ.shape[1], groups_N=groups_Q, n=n_bootstrap, seed=seed,
    )  # fmt: skip


def chance_levels(
    positives_Q: NDArray[np.integer], pool_Q: NDArray[np.integer], *, ks: Sequence[int] = (1, 5, 10)
) -> tuple[dict[int, float], float, float]:
    """Exact R@k, median rank and MRR of a uniformly random ranking: ({k: R@k}, median, mrr).

    A query with p positives in a pool of g misses at k when its first k rows are all non-positives, with probability
    prod_{i<k} (g - p - i) / (g - i) (hypergeometric). The median is that of the mixture over queries.
    """
    pairs, counts = np.unique(np.stack([positives_Q, pool_Q], axis=1), axis=0, return_counts=True)
    largest = int(pool_Q.max())
    reached_K = np.zeros(largest + 1)  # P(rank <= k), mean over queries
    mrr = 0.0
    for (p, g), count in zip(pairs, counts, strict=True):
        step_K = np.arange(largest)
        miss_K = np.cumprod(np.clip(g - p - step_K, 0, None) / np.clip(g - step_K, 1, None))
        cdf_K = np.concatenate([[0.0], 1.0 - miss_K])
        reached_K += cdf_K * count / len(positives_Q)
        mrr += float((np.diff(cdf_K) / (step_K + 1)).sum()) * count / len(positives_Q)
    median = (np.argmax(reached_K >= 0.5 - 1e-12) + np.argmax(reached_K > 0.5 + 1e-12)) / 2
    return {k: float(reached_K[min(k, largest)]) for k in ks}, float(median), mrr
