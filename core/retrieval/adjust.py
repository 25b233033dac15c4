"""Post-processing of scores against hubs: learn from a bank how easily each gallery row is found, and correct for it.

Shape legend: Q = queries, G = gallery rows, M, N = rows of the query bank and of the gallery bank, q = queries of one
block.
A bank is a set of rows whose answers are not asked for: training queries, training gallery rows. `fit` reads the scores
of the bank against the gallery that will be searched, block by block, and keeps O(G) numbers; `apply` changes blocks of
scores of real queries and never writes into its input. Results stay in the unit of the scores: the published ratio
e^(b s) / sum_m e^(b s_m) is given as its logarithm over b, which orders a query's answers alike and cannot overflow.
Only scores of one query may be compared after an adjustment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor

from core.errors import ConfigError, DataError
from core.evaluation.ranking import TIE_TOLERANCE
from core.evaluation.scores import Scores

CHUNK = 512


class ScoreAdjustment(ABC):
    """A fitted change of scores, (q, G) -> (q, G)."""

    @abstractmethod
    def apply(self, score_qG: Tensor) -> Tensor:
        """Adjusted scores, a new tensor. Raises DataError before `fit`, or for a gallery of another size."""

    def scores(self, scores: Scores) -> Scores:
        """The same queries and gallery with adjusted scores, still made block by block."""
        return Scores(
            scores.shape, lambda rows: self.apply(scores.block(rows)), f"{scores.similarity}, {type(self).__name__}"
        )


class BankAdjustment(ScoreAdjustment):
    """An adjustment that one bank is enough for."""

    beta: float

    @abstractmethod
    def fit(self, bank: Scores, *, chunk: int = CHUNK) -> Self:
        """bank: scores (M, G) of the bank's rows against the gallery. Returns itself."""


class InvertedSoftmax(BankAdjustment):
    """s_qg - log(sum_m exp(beta s_mg)) / beta: the logarithm over beta of the softmax over queries (Smith et al. 2017).

    A gallery row that the bank's queries find easily is lowered. beta: inverse temperature; 20 suits cosines.
    """

    def __init__(self, *, beta: float = 20.0) -> None:
        if beta <= 0:
            raise ConfigError(f"{type(self).__name__}: beta is {beta}; give an inverse temperature above 0")
        self.beta = float(beta)
        self.offset_G: Tensor | None = None

    def fit(self, bank: Scores, *, chunk: int = CHUNK) -> Self:
        total_G: Tensor | None = None
        for _, score_mG in bank.blocks(chunk):
            block_G = (self.beta * score_mG).logsumexp(dim=0)
            total_G = block_G if total_G is None else torch.logaddexp(total_G, block_G)
        if total_G is None:
            raise DataError(f"{type(self).__name__}: the bank is empty; give at least one row")
        self.offset_G = total_G / self.beta
        return self

    def apply(self, score_qG: Tensor) -> Tensor:
        offset_G = _fitted(self.offset_G, self, score_qG)
        return score_qG - offset_G.to(score_qG)


class DynamicInvertedSoftmax(InvertedSoftmax):
    """Inverted softmax only for queries whose best gallery row is a hub: one of the k best of some row of the bank
    (Bogolin et al. 2022, QB-norm with dynamic inverted softmax). All other queries keep their scores.

    A query whose best rows tie is adjusted when any of them is a hub.
    """

    def __init__(self, *, beta: float = 20.0, k: int = 1) -> None:
        super().__init__(beta=beta)
        if k < 1:
            raise ConfigError(f"DynamicInvertedSoftmax: k is {k}; give at least 1")
        self.k = k
        self.hub_G: Tensor | None = None

    def fit(self, bank: Scores, *, chunk: int = CHUNK) -> Self:
        super().fit(bank, chunk=chunk)
        k = min(self.k, bank.shape[1])
        hub_G: Tensor | None = None
        for _, score_mG in bank.blocks(chunk):
            last_m1 = score_mG.topk(k, dim=1).values[:, -1:]
            found_G = (score_mG >= last_m1 - TIE_TOLERANCE).any(dim=0)
            hub_G = found_G if hub_G is None else hub_G | found_G
        self.hub_G = hub_G
        return self

    def apply(self, score_qG: Tensor) -> Tensor:
        hub_G = _fitted(self.hub_G, self, score_qG).to(score_qG.device)
        best_of_hubs_q1 = score_qG.masked_fill(~hub_G, -torch.inf).amax(dim=1, keepdim=True)
        active_q1 = best_of_hubs_q1 >= score_qG.amax(dim=1, keepdim=True) - TIE_TOLERANCE
        return torch.where(active_q1, super().apply(score_qG), score_qG)


QBNorm = DynamicInvertedSoftmax


class DualBankNorm(ScoreAdjustment):
    """The product of two normalisations of one score, by a bank of queries and by a bank of gallery rows (Wang et al.
    2023, DBNorm): their mean weighted by beta, in the unit of the scores.

    query, gallery: inverted softmax with the beta of the released script where none is given; two dynamic ones give the
    dynamic variant. Those values suit logits; for cosines give larger ones.
    """

    def __init__(self, *, query: BankAdjustment | None = None, gallery: BankAdjustment | None = None) -> None:
        self.query = InvertedSoftmax(beta=1 / 1.99) if query is None else query
        self.gallery = InvertedSoftmax(beta=3.0) if gallery is None else gallery

    def fit(self, query_bank: Scores, gallery_bank: Scores, *, chunk: int = CHUNK) -> Self:
        """query_bank: scores (M, G) of bank queries against the gallery. gallery_bank: (N, G), of bank gallery rows
        against it. Returns itself."""
        if query_bank.shape[1] != gallery_bank.shape[1]:
            raise DataError(
                f"DualBankNorm: the query bank was scored against {query_bank.shape[1]} gallery rows, the gallery bank "
                f"against {gallery_bank.shape[1]}; both need the gallery that will be searched"
            )
        self.query.fit(query_bank, chunk=chunk)
        self.gallery.fit(gallery_bank, chunk=chunk)
        return self

    def apply(self, score_qG: Tensor) -> Tensor:
        by_query_qG, by_gallery_qG = self.query.apply(score_qG), self.gallery.apply(score_qG)
        a, b = self.query.beta, self.gallery.beta
        return (a * by_query_qG + b * by_gallery_qG) / (a + b)


def _fitted(value_G: Tensor | None, who: ScoreAdjustment, score_qG: Tensor) -> Tensor:
    if value_G is None:
        raise DataError(f"{type(who).__name__}: not fitted; call fit(bank) first")
    if score_qG.ndim != 2 or score_qG.shape[1] != len(value_G):
        raise DataError(
            f"{type(who).__name__}: fitted to a gallery of {len(value_G)} rows, got scores {tuple(score_qG.shape)}"
        )
    return value_G
