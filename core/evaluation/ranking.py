"""The one rank evaluator: exact ranks of the positives, in chunks, without an argsort.

Shape legend: Q = queries, G = gallery rows (the pool), E = embedding width, q = queries of one chunk, P = most
positives of any query in the chunk.

Rules, part of every score's protocol:
- A gallery row is a positive of a query when their keys are equal, so a duplicate of the right answer is a hit.
- Only non-positives push an answer down: rank = 1 + the number of non-positives in front of the best positive.
  With one positive that is the usual rank; with several captions of an image it is the rank of the best of them.
- Scores within `TIE_TOLERANCE` of the positive's score are ties. "mean" gives the rank averaged over all orders of
  the tied rows, t / (p + 1) for t non-positives tied with p positives; "pessimistic" puts all t in front.
- `exclude_QG` leaves pairs out of the pool (a query itself, or known facts in filtered link prediction).
- Ranks are 1-based. A query with no positive in its pool has rank nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ConfigError, DataError
from core.evaluation.scores import Scores, Vectors, cosine_scores, top_k_of

Ties = Literal["mean", "pessimistic"]
Keys = Tensor | NDArray[np.generic] | Sequence[int] | Sequence[str]

TIE_TOLERANCE = 1e-6  # cosines of float32 unit vectors differ by this much from rounding alone


@dataclass(frozen=True, slots=True)
class Ranking:
    """What ranking found, per query. All (Q,).

    rank: float64, 1-based rank of the best positive, nan without one. average_precision, inverse_penalty: float64 in
    [0, 1], nan without a positive. positives, pool: int64, positives and candidates left after exclusion.
    hits: int64 (Q, len(ks)), positives among the first k of the ranked list. ks: the k of `hits`.
    """

    rank: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    inverse_penalty: NDArray[np.float64]
    positives: NDArray[np.int64]
    pool: NDArray[np.int64]
    hits: NDArray[np.int64]
    ks: tuple[int, ...]

    @property
    def normalised_rank(self) -> NDArray[np.float64]:
        """rank / pool, (Q,) in (0, 1]: a perfect answer is 1 / pool, whatever the other queries reached."""
        return self.rank / self.pool


def key_codes(*keys: Keys) -> list[Tensor]:
    """Keys of any kind (integers, strings) as int64 codes that are equal exactly where the keys are equal."""
    arrays = [k.detach().cpu().numpy() if isinstance(k, Tensor) else np.asarray(k) for k in keys]
    if len({a.dtype.kind in "US" for a in arrays}) > 1:
        raise DataError("keys: some are strings and some are numbers; they would never be equal")
    codes = torch.as_tensor(np.unique(np.concatenate(arrays), return_inverse=True)[1].reshape(-1))
    return list(codes.long().split([len(a) for a in arrays]))


def ranks(
    queries_QE: Vectors,
    gallery_GE: Vectors,
    query_keys_Q: Keys,
    gallery_keys_G: Keys,
    *,
    chunk: int = 512,
    ties: Ties = "mean",
    exclude_QG: Tensor | None = None,
    ks: Sequence[int] = (1, 5, 10),
) -> Ranking:
    """Rank every query's positives in the gallery by cosine; see the module's rules, and `ranks_of` for the arguments.

    queries_QE, gallery_GE: any float dtype, need not be normalised; compared in float64 so that the result does not
    depend on `chunk`. Raises DataError for nan embeddings, shapes that do not fit or an empty gallery.
    """
    scores = cosine_scores(queries_QE, gallery_GE)
    return ranks_of(scores, query_keys_Q, gallery_keys_G, chunk=chunk, ties=ties, exclude_QG=exclude_QG, ks=ks)


def ranks_of(
    scores: Scores,
    query_keys_Q: Keys,
    gallery_keys_G: Keys,
    *,
    chunk: int = 512,
    ties: Ties = "mean",
    exclude_QG: Tensor | None = None,
    ks: Sequence[int] = (1, 5, 10),
    tolerance: float = TIE_TOLERANCE,
) -> Ranking:
    """Rank every query's positives by scores of any kind; see the module's rules.

    chunk: queries compared at once; memory is about 40 * chunk * G bytes. exclude_QG: bool, True = the pair is not a
    candidate. ks: cut-offs of `Ranking.hits`. tolerance: scores closer than this are ties.
    Average precision = mean over positives j = 1..p, best first, of j / (j + non-positives in front of the j-th), ties
    by the same policy (Manning et al. 2008, section 8.4). Inverse negative penalty = p / (rank of the last positive)
    = p / (p + non-positives in front of it) (Ye et al. 2021, equation 7; its mean is mINP).
    Raises DataError for keys that do not fit, ConfigError for bad settings.
    """
    key_Q, key_G = key_codes(query_keys_Q, gallery_keys_G)
    _check(scores, key_Q, key_G, exclude_QG, ties)
    best_Q = torch.full((len(key_Q),), torch.nan, dtype=torch.float64)
    precision_Q, penalty_Q = best_Q.clone(), best_Q.clone()
    positives_Q, pool_Q = torch.zeros(len(key_Q), dtype=torch.int64), torch.zeros(len(key_Q), dtype=torch.int64)
    hits_QK = torch.zeros(len(key_Q), len(ks), dtype=torch.int64)
    for rows, score_qG in scores.blocks(chunk):
        score_qG = score_qG.cpu()
        kept_qG = torch.ones_like(score_qG, dtype=torch.bool) if exclude_QG is None else ~exclude_QG[rows].cpu()
        positive_qG = (key_Q[rows, None] == key_G[None, :]) & kept_qG
        positives_q = positive_qG.sum(dim=1)
        positives_Q[rows], pool_Q[rows] = positives_q, kept_qG.sum(dim=1)
        most = int(positives_q.max())
        if most == 0:
            continue
        ahead_qP = _non_positives_ahead(score_qG, positive_qG, kept_qG, most, ties, tolerance)
        ordinal_P = torch.arange(1, most + 1, dtype=torch.float64)
        real_qP = ordinal_P <= positives_q[:, None]
        found_q = positives_q > 0
        best_Q[rows] = torch.where(found_q, 1.0 + ahead_qP[:, 0], torch.nan)
        precision_qP = torch.where(real_qP, ordinal_P / (ordinal_P + ahead_qP), 0.0)
        precision_Q[rows] = torch.where(found_q, precision_qP.sum(dim=1) / positives_q.clamp(min=1), torch.nan)
        last_q = ahead_qP.gather(1, (positives_q - 1).clamp(min=0)[:, None])[:, 0]
        penalty_Q[rows] = torch.where(found_q, positives_q / (positives_q + last_q), torch.nan)
        for i, k in enumerate(ks):
            hits_QK[rows, i] = (real_qP & (ordinal_P + ahead_qP <= k)).sum(dim=1)
    return Ranking(
        rank=best_Q.numpy(),
        average_precision=precision_Q.numpy(),
        inverse_penalty=penalty_Q.numpy(),
        positives=positives_Q.numpy(),
        pool=pool_Q.numpy(),
        hits=hits_QK.numpy(),
        ks=tuple(ks),
    )


def _non_positives_ahead(
    score_qG: Tensor, positive_qG: Tensor, kept_qG: Tensor, most: int, ties: Ties, tolerance: float
) -> Tensor:
    """Non-positives in front of each positive, best positive first, (q, P); meaningless past the last."""
    minus = -torch.inf
    good_qP = score_qG.masked_fill(~positive_qG, minus).topk(most, dim=1).values
    others_qG = score_qG.masked_fill(positive_qG | ~kept_qG, minus).sort(dim=1).values.contiguous()
    below_qP = torch.searchsorted(others_qG, (good_qP - tolerance).contiguous(), right=False)
    not_above_qP = torch.searchsorted(others_qG, (good_qP + tolerance).contiguous(), right=True)
    above_qP = (others_qG.shape[1] - not_above_qP).double()
    tied_qP = (not_above_qP - below_qP).double()
    if ties == "pessimistic":
        return above_qP + tied_qP
    # In a random order of t non-positives and p positives, t * m / (p + 1) non-positives precede the m-th positive.
    same_qPP = (good_qP[:, :, None] - good_qP[:, None, :]).abs() <= tolerance
    alike_qP = same_qPP.sum(dim=2).double()
    place_qP = same_qPP.tril().sum(dim=2).double()
    return above_qP + tied_qP * place_qP / (alike_qP + 1)


def top_k(
    queries_QE: Vectors, gallery_GE: Vectors, *, k: int = 5, chunk: int = 512, exclude_QG: Tensor | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k best gallery rows of each query, best first, to show (not to score): cosines and row numbers, (Q, k)."""
    return top_k_of(cosine_scores(queries_QE, gallery_GE), k=k, chunk=chunk, exclude_QG=exclude_QG)


def _check(scores: Scores, key_Q: Tensor, key_G: Tensor, exclude_QG: Tensor | None, ties: str) -> None:
    for name, rows, key in (("queries", scores.shape[0], key_Q), ("gallery", scores.shape[1], key_G)):
        if rows != len(key):
            raise DataError(f"ranking: {rows} {name} but {len(key)} keys; give one key per row")
    if exclude_QG is not None and exclude_QG.shape != scores.shape:
        raise DataError(f"ranking: exclude is {tuple(exclude_QG.shape)}, expected {scores.shape}")
    if ties not in ("mean", "pessimistic"):
        raise ConfigError(f"ranking: ties is '{ties}'; valid: mean, pessimistic")
