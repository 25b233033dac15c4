"""The one rank evaluator: exact cosine ranks of the positives, in chunks, without an argsort.

Shape legend: Q = queries, G = gallery rows (the pool), E = embedding width, q = queries of one chunk, P = most
positives of any query in the chunk.

Rules, part of every score's protocol:
- A gallery row is a positive of a query when their keys are equal, so a duplicate of the right answer is a hit.
- Only non-positives push an answer down: rank = 1 + the number of non-positives in front of the best positive.
  With one positive that is the usual rank.
- Scores within `TIE_TOLERANCE` of the positive's score are ties. "mean" gives the rank averaged over all orders of
  the tied rows, t / (p + 1) for t non-positives tied with p positives; "pessimistic" puts all t in front.
- `exclude_QG` leaves pairs out of the pool (a query itself, or known facts in filtered link prediction).
- Ranks are 1-based. A query with no positive in its pool has rank nan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ConfigError, DataError

Ties = Literal["mean", "pessimistic"]
Vectors = Tensor | NDArray[np.floating]
Keys = Tensor | NDArray[np.generic] | Sequence[int] | Sequence[str]

TIE_TOLERANCE = 1e-6  # cosines of float32 unit vectors differ by this much from rounding alone


@dataclass(frozen=True, slots=True)
class Ranking:
    """What ranking found, per query. All (Q,).

    rank: float64, 1-based rank of the best positive, nan without one. average_precision: float64 in [0, 1], nan
    without a positive. positives, pool: int64, positives and candidates left after exclusion.
    hits: int64 (Q, len(ks)), positives among the first k of the ranked list. ks: the k of `hits`.
    """

    rank: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    positives: NDArray[np.int64]
    pool: NDArray[np.int64]
    hits: NDArray[np.int64]
    ks: tuple[int, ...]


def unit_rows(x_NE: Vectors, name: str) -> Tensor:
    """Rows scaled to length 1, float64 on the CPU (N, E); a zero row stays zero. Raises DataError for nan or inf."""
    x_NE = torch.as_tensor(x_NE).detach().to("cpu", torch.float64)
    if x_NE.ndim != 2:
        raise DataError(f"{name}: shape is {tuple(x_NE.shape)}; give one embedding per row, (rows, width)")
    bad = int((~torch.isfinite(x_NE)).any(dim=1).sum())
    if bad:
        raise DataError(f"{name}: {bad} of {len(x_NE)} embeddings hold nan or inf; check the encoder or the inputs")
    return torch.nn.functional.normalize(x_NE, dim=1)


def key_codes(*keys: Keys) -> list[Tensor]:
    """Keys of any kind (integers, strings) as int64 codes that are equal exactly where the keys are equal."""
    arrays = [k.detach().cpu().numpy() if isinstance(k, Tensor) else np.asarray(k) for k in keys]
    if len({a.dtype.kind in "US" for a in arrays}) > 1:
        raise DataError("keys: some are strings and some are numbers; they would never be equal")
    codes = torch.as_tensor(np.unique(np.concatenate(arrays), return_inverse=True)[1].reshape(-1))
    return list(codes.long().split([len(a) for a in arrays]))


def _chunks(
    queries_QE: Tensor, gallery_GE: Tensor, exclude_QG: Tensor | None, chunk: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """(rows, cosines (q, G), candidates (q, G) bool) of one chunk of queries after the other."""
    for start in range(0, len(queries_QE), chunk):
        rows = slice(start, min(start + chunk, len(queries_QE)))
        score_qG = queries_QE[rows] @ gallery_GE.T
        kept_qG = torch.ones_like(score_qG, dtype=torch.bool) if exclude_QG is None else ~exclude_QG[rows].cpu()
        yield rows, score_qG, kept_qG


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
    """Rank every query's positives in the gallery by cosine; see the module's rules.

    queries_QE, gallery_GE: any float dtype, need not be normalised; compared in float64 so that the result does not
    depend on `chunk` (queries compared at once; memory is about 40 * chunk * G bytes).
    exclude_QG: bool, True = the pair is not a candidate. ks: cut-offs of `Ranking.hits`.
    Average precision = mean over positives j = 1..p, best first, of j / (j + non-positives in front of the j-th), ties
    by the same policy (Manning et al. 2008, section 8.4).
    Raises DataError for nan embeddings, shapes that do not fit or an empty gallery; ConfigError for bad settings.
    """
    q_QE, g_GE = unit_rows(queries_QE, "queries"), unit_rows(gallery_GE, "gallery")
    key_Q, key_G = key_codes(query_keys_Q, gallery_keys_G)
    _check(q_QE, g_GE, key_Q, key_G, exclude_QG, chunk, ties)
    best_Q = torch.full((len(q_QE),), torch.nan, dtype=torch.float64)
    precision_Q = best_Q.clone()
    positives_Q, pool_Q = torch.zeros(len(q_QE), dtype=torch.int64), torch.zeros(len(q_QE), dtype=torch.int64)
    hits_QK = torch.zeros(len(q_QE), len(ks), dtype=torch.int64)
    for rows, score_qG, kept_qG in _chunks(q_QE, g_GE, exclude_QG, chunk):
        positive_qG = (key_Q[rows, None] == key_G[None, :]) & kept_qG
        positives_q = positive_qG.sum(dim=1)
        positives_Q[rows], pool_Q[rows] = positives_q, kept_qG.sum(dim=1)
        most = int(positives_q.max())
        if most == 0:
            continue
        ahead_qP = _non_positives_ahead(score_qG, positive_qG, kept_qG, most, ties)
        ordinal_P = torch.arange(1, most + 1, dtype=torch.float64)
        real_qP = ordinal_P <= positives_q[:, None]
        found_q = positives_q > 0
        best_Q[rows] = torch.where(found_q, 1.0 + ahead_qP[:, 0], torch.nan)
        precision_qP = torch.where(real_qP, ordinal_P / (ordinal_P + ahead_qP), 0.0)
        precision_Q[rows] = torch.where(found_q, precision_qP.sum(dim=1) / positives_q.clamp(min=1), torch.nan)
        for i, k in enumerate(ks):
            hits_QK[rows, i] = (real_qP & (ordinal_P + ahead_qP <= k)).sum(dim=1)
    return Ranking(best_Q.numpy(), precision_Q.numpy(), positives_Q.numpy(), pool_Q.numpy(), hits_QK.numpy(), tuple(ks))


def _non_positives_ahead(score_qG: Tensor, positive_qG: Tensor, kept_qG: Tensor, most: int, ties: Ties) -> Tensor:
    """Non-positives in front of each positive, best positive first, (q, P); meaningless past the last."""
    minus = -torch.inf
    good_qP = score_qG.masked_fill(~positive_qG, minus).topk(most, dim=1).values
    others_qG = score_qG.masked_fill(positive_qG | ~kept_qG, minus).sort(dim=1).values.contiguous()
    below_qP = torch.searchsorted(others_qG, (good_qP - TIE_TOLERANCE).contiguous(), right=False)
    not_above_qP = torch.searchsorted(others_qG, (good_qP + TIE_TOLERANCE).contiguous(), right=True)
    above_qP = (others_qG.shape[1] - not_above_qP).double()
    tied_qP = (not_above_qP - below_qP).double()
    if ties == "pessimistic":
        return above_qP + tied_qP
    # In a random order of t non-positives and p positives, t * m / (p + 1) non-positives precede the m-th positive.
    same_qPP = (good_qP[:, :, None] - good_qP[:, None, :]).abs() <= TIE_TOLERANCE
    alike_qP = same_qPP.sum(dim=2).double()
    place_qP = same_qPP.tril().sum(dim=2).double()
    return above_qP + tied_qP * place_qP / (alike_qP + 1)


def top_k(
    queries_QE: Vectors, gallery_GE: Vectors, *, k: int = 5, chunk: int = 512, exclude_QG: Tensor | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k best gallery rows of each query, best first, to show (not to score): cosines and row numbers, (Q, k)."""
    q_QE, g_GE = unit_rows(queries_QE, "queries"), unit_rows(gallery_GE, "gallery")
    k = min(k, len(g_GE))
    score_QK, index_QK = np.empty((len(q_QE), k)), np.empty((len(q_QE), k), dtype=np.int64)
    for rows, score_qG, kept_qG in _chunks(q_QE, g_GE, exclude_QG, chunk):
        found = score_qG.masked_fill(~kept_qG, -torch.inf).topk(k, dim=1)
        score_QK[rows], index_QK[rows] = found.values.numpy(), found.indices.numpy()
    return score_QK, index_QK


def _check(
    q_QE: Tensor, g_GE: Tensor, key_Q: Tensor, key_G: Tensor, exclude_QG: Tensor | None, chunk: int, ties: str
) -> None:
    if not len(q_QE) or not len(g_GE):
        raise DataError(f"ranking: {len(q_QE)} queries and {len(g_GE)} gallery rows; both need at least one")
    if q_QE.shape[1] != g_GE.shape[1]:
        raise DataError(
            f"ranking: queries are {q_QE.shape[1]} wide, the gallery {g_GE.shape[1]}; embed both with one model"
        )
    for name, rows, key in (("queries", q_QE, key_Q), ("gallery", g_GE, key_G)):
        if len(rows) != len(key):
            raise DataError(f"ranking: {len(rows)} {name} but {len(key)} keys; give one key per row")
    if exclude_QG is not None and exclude_QG.shape != (len(q_QE), len(g_GE)):
        raise DataError(f"ranking: exclude is {tuple(exclude_QG.shape)}, expected {(len(q_QE), len(g_GE))}")
    if chunk < 1:
        raise ConfigError(f"ranking: chunk is {chunk}; give the number of queries to compare at once, at least 1")
    if ties not in ("mean", "pessimistic"):
        raise ConfigError(f"ranking: ties is '{ties}'; valid: mean, pessimistic")
