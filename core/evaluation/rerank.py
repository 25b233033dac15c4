"""Retrieval in two stages: cosines choose candidates, a slower score of each pair orders them.

Shape legend: Q = queries, G = gallery rows, K = candidates of a query.
"""

from __future__ import annotations

from torch import Tensor

from core.errors import ConfigError, DataError


def reranked_scores(cosine_QG: Tensor, top_QK: Tensor, match_QK: Tensor, *, share: float) -> Tensor:
    """(Q, G) float64 scores that rank each query's candidates by share * cosine + (1 - share) * match, in front of all
    other rows, which keep the order of their cosines.

    top_QK: gallery rows of the candidates, each once. match_QK: in [0, 1], of the same pairs. share 1 gives the order
    of cosines, share 0 that of matches. Raises ConfigError for a share outside [0, 1], DataError for matches that are
    no probabilities.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"re-ranking: share is {share}; give the weight of the cosine, in [0, 1]")
    if match_QK.shape != top_QK.shape or not bool(((match_QK >= 0) & (match_QK <= 1)).all()):
        raise DataError(f"re-ranking: matches are {tuple(match_QK.shape)}; give probabilities {tuple(top_QK.shape)}")
    cosine_QG = cosine_QG.double()
    mixed_QK = share * cosine_QG.gather(1, top_QK) + (1 - share) * match_QK.double()
    front = 4.0  # beyond any mixture (-1 to 1) and any cosine, so that candidates stay in front
    return cosine_QG.scatter(1, top_QK, mixed_QK + front)
