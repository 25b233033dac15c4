"""Ranks of one known answer per question among all candidates, other known answers left out ("filtered").

The protocol of link prediction (Bordes et al. 2013, filtered; ties as Berrendorf et al. 2020): with s the score of the
answer and the other known answers of the question taken out of the pool,

    optimistic = 1 + #(score > s),   pessimistic = #(score >= s) with the answer itself,   realistic = their mean.

Scores are compared exactly as they are given: equal numbers are ties, all others are not. Constant scores over n
candidates give realistic rank (n + 1) / 2. `core.evaluation.ranking` is the evaluator for several positives per query
and for cosines; on one positive and scores further apart than its tolerance the two agree.

Shape legend: Q = questions, G = candidates, q = questions of one block, P = known (question, answer) pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import DataError
from core.evaluation.bootstrap import Groups, Interval, bootstrap_interval, mean_statistic

Ints = NDArray[np.int64]
BlockScores = Callable[[slice], Tensor]  # questions of a block -> (q, G) scores, higher = better
BLOCK_BYTES = 2**26  # scores held at once


class KnownAnswers:
    """Which answers of a question are known to be true: facts grouped by question, found by binary search.

    questions_P, answers_P: (P,) int64; a fact may be repeated. A question is any non-negative code.
    """

    def __init__(self, questions_P: Ints, answers_P: Ints) -> None:
        if questions_P.shape != answers_P.shape or questions_P.ndim != 1:
            raise DataError(f"known answers: {questions_P.shape} questions for {answers_P.shape} answers; give pairs")
        order = np.lexsort((answers_P, questions_P))
        self.question_P, self.answer_P = questions_P[order], answers_P[order]

    def pairs(self, questions_q: Ints) -> tuple[Ints, Ints]:
        """Known answers of each question as (row of questions_q, answer), both (n,)."""
        first_q = np.searchsorted(self.question_P, questions_q, side="left")
        count_q = np.searchsorted(self.question_P, questions_q, side="right") - first_q
        row_n = np.repeat(np.arange(len(questions_q)), count_q)
        within_n = np.arange(len(row_n)) - np.repeat(np.cumsum(count_q) - count_q, count_q)
        return row_n, self.answer_P[np.repeat(first_q, count_q) + within_n]


@dataclass(frozen=True, slots=True)
class AnswerRanks:
    """All (Q,) float64, 1-based. pool: candidates that were left, the answer among them."""

    optimistic: NDArray[np.float64]
    pessimistic: NDArray[np.float64]
    pool: NDArray[np.float64]

    @property
    def realistic(self) -> NDArray[np.float64]:
        return (self.optimistic + self.pessimistic) / 2


def answer_ranks(
    scores: BlockScores,
    questions_Q: Ints,
    answers_Q: Ints,
    *,
    candidates: int,
    known: KnownAnswers | None = None,
    pool_G: Tensor | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> AnswerRanks:
    """Rank answers_Q[i] among `candidates` for every question; the questions are worked off in blocks.

    scores(rows) gives the scores of a block of questions. known: other true answers, left out of the pool; None ranks
    unfiltered. pool_G: (G,) bool, candidates that may be ranked at all; the answer always is one.
    Raises DataError for scores that are nan, of another shape or of half precision (its ties are rounding).
    """
    optimistic, pessimistic, pool = (np.empty(len(questions_Q)) for _ in range(3))
    step = max(1, block_bytes // (4 * max(candidates, 1)))
    for first in range(0, len(questions_Q), step):
        rows = slice(first, min(first + step, len(questions_Q)))
        score_qG = scores(rows)
        _check(score_qG, (rows.stop - rows.start, candidates))
        device = score_qG.device
        answer_q1 = torch.from_numpy(answers_Q[rows]).to(device)[:, None]
        out_qG = torch.zeros(score_qG.shape, dtype=torch.bool, device=device)
        if pool_G is not None:
            out_qG |= ~pool_G.to(device)
        if known is not None:
            row_n, answer_n = (torch.from_numpy(x).to(device) for x in known.pairs(questions_Q[rows]))
            out_qG[row_n, answer_n] = True
        true_q1 = score_qG.gather(1, answer_q1)
        out_qG.scatter_(1, answer_q1, True)
        above_q = ((score_qG > true_q1) & ~out_qG).sum(dim=1)
        tied_q = ((score_qG == true_q1) & ~out_qG).sum(dim=1)
        optimistic[rows] = (1 + above_q).cpu().numpy()
        pessimistic[rows] = (1 + above_q + tied_q).cpu().numpy()
        pool[rows] = (1 + (~out_qG).sum(dim=1)).cpu().numpy()
    return AnswerRanks(optimistic, pessimistic, pool)


def _check(score_qG: Tensor, shape: tuple[int, int]) -> None:
    if tuple(score_qG.shape) != shape:
        raise DataError(f"answer ranks: scores are {tuple(score_qG.shape)}, expected {shape}")
    if score_qG.dtype not in (torch.float32, torch.float64):
        raise DataError(f"answer ranks: scores are {score_qG.dtype}, whose rounding makes ties; give float32")
    if torch.isnan(score_qG).any():
        raise DataError("answer ranks: a score is nan; the model has diverged, train it with a lower rate")


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """mrr, hits[k], mean_rank with intervals. amri: adjusted mean rank index, 1 perfect, 0 as good as constant scores
    or chance (Berrendorf et al. 2020). questions: how many were ranked."""

    mrr: Interval
    hits: dict[int, Interval]
    mean_rank: Interval
    amri: float
    questions: int

    def flat(self) -> dict[str, float]:
        """Names and values for a summary file."""
        flat = self.mrr.flat("mrr") | self.mean_rank.flat("mean_rank")
        for k, interval in self.hits.items():
            flat |= interval.flat(f"hits@{k}")
        return flat | {"amri": self.amri, "questions": float(self.questions)}


def answer_scores(
    found: AnswerRanks,
    *,
    ks: Sequence[int] = (1, 3, 10),
    groups_Q: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> AnswerScores:
    """Means of realistic ranks. groups_Q: questions that are drawn together (both sides of one fact).

    Raises DataError when there is no question.
    """
    rank_Q = found.realistic
    if len(rank_Q) == 0:
        raise DataError("answer scores: no question to rank")

    def mean(values_Q: NDArray[np.float64]) -> Interval:
        return bootstrap_interval(
            mean_statistic(values_Q), rows=len(values_Q), groups_N=groups_Q, n=n_bootstrap, seed=seed
        )

    chance = float(((found.pool + 1) / 2).mean())
    amri = 1 - (float(rank_Q.mean()) - 1) / (chance - 1) if chance > 1 else float("nan")
    return AnswerScores(
        mrr=mean(1 / rank_Q),
        hits={k: mean((rank_Q <= k).astype(float)) for k in ks},
        mean_rank=mean(rank_Q),
        amri=amri,
        questions=len(rank_Q),
    )
