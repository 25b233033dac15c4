"""Hubs: gallery rows that are among the nearest of far too many queries, and the rows that nobody finds.

Shape legend: Q = queries, G = gallery rows, q = queries of one block, k = neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ConfigError
from core.evaluation.ranking import TIE_TOLERANCE
from core.evaluation.scores import Scores, cosine_scores


@dataclass(frozen=True, slots=True)
class Hubness:
    """skewness: of the k-occurrences, 0 when even (Radovanovic et al. 2010, equation 1). robin_hood: share of all
    occurrences that would have to move for every row to have as many, in [0, 1] (Hoover index; Feldbauer et al. 2018).
    antihubs: share of the gallery that no query finds. largest: most occurrences of one row. k: after the clamp to G.
    """

    skewness: float
    robin_hood: float
    antihubs: float
    largest: float
    k: int


def k_occurrence(scores: Scores, *, k: int = 10, chunk: int = 512) -> NDArray[np.float64]:
    """N_k: how often each gallery row is among a query's k best, (G,) float64, rows that never are included.

    Sums to Q k. Rows tied at the k-th place share what is left of the places, their mean over all orders; so a
    collapsed space has no hubs that are made by the sort. k is clamped to G. Raises ConfigError for k below 1.
    """
    if k < 1:
        raise ConfigError(f"hubness: k is {k}; give at least 1 neighbour")
    k = min(k, scores.shape[1])
    count_G = np.zeros(scores.shape[1])
    for _, score_qG in scores.blocks(chunk):
        last_q1 = score_qG.topk(k, dim=1).values[:, -1:]
        above_qG = score_qG > last_q1 + TIE_TOLERANCE
        tied_qG = (score_qG >= last_q1 - TIE_TOLERANCE) & ~above_qG
        left_q = k - above_qG.sum(dim=1)
        share_q = left_q / tied_qG.sum(dim=1)
        count_G += (above_qG.sum(dim=0) + share_q.double() @ tied_qG.double()).cpu().numpy()
    return count_G


def hubness_of(scores: Scores, *, k: int = 10, chunk: int = 512) -> Hubness:
    """Hubness figures of a way to score, over the whole gallery."""
    from scipy.stats import skew

    count_G = k_occurrence(scores, k=k, chunk=chunk)
    even = np.ptp(count_G) <= 1e-9 * max(count_G.max(), 1.0)  # no spread, no skew
    return Hubness(
        skewness=0.0 if even else float(skew(count_G)),
        robin_hood=float(np.abs(count_G - count_G.mean()).sum() / (2 * count_G.sum())),
        antihubs=float((count_G <= 1e-9).mean()),
        largest=float(count_G.max()),
        k=min(k, scores.shape[1]),
    )


def hubness(queries_QE: Tensor, gallery_GE: Tensor, *, k: int = 10) -> float:
    """Skewness of the k-occurrences under cosine."""
    return hubness_of(cosine_scores(queries_QE, gallery_GE), k=k).skewness
