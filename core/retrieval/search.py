"""Nearest gallery rows of queries, with or without post-processing. Legend: Q = queries, G = gallery rows, K = k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.evaluation.scores import Vectors, cosine_scores, top_k_of
from core.retrieval.adjust import ScoreAdjustment


def search(
    queries_QE: Vectors,
    gallery_GE: Vectors,
    *,
    k: int = 10,
    adjustment: ScoreAdjustment | None = None,
    chunk: int = 512,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k best gallery rows of each query, best first: scores and row numbers, (Q, K) with K = min(k, G).

    adjustment: fitted to this gallery. A feature adjustment is applied to the gallery before. chunk: queries compared
    at once. Raises ConfigError for k below 1.
    """
    scores = cosine_scores(queries_QE, gallery_GE)
    return top_k_of(scores if adjustment is None else adjustment.scores(scores), k=k, chunk=chunk)
