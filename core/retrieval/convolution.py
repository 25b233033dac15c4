"""Post-processing of gallery features against hubs: push each row away from what surrounds it in a bank.

Shape legend: G = gallery rows, M = rows of a bank, E = width, g = gallery rows of one block, k = neighbours.
Queries stay as they are. All rows are unit vectors before and after, float32 or finer, on the device of the input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError, DataError
from core.evaluation.alignment.rows import row_blocks, unit

CHUNK = 512
VANISHED = 1e-6  # a row shorter than this after the push has no direction left


class FeatureAdjustment(ABC):
    """A change of gallery features learned from a bank of features."""

    bank: Tensor | None = None  # (M, E)

    def fit(self, bank_ME: Tensor) -> Self:
        """bank_ME: features of training gallery rows or training queries. Returns itself."""
        if bank_ME.ndim != 2 or not len(bank_ME):
            raise DataError(f"{type(self).__name__}: the bank is {tuple(bank_ME.shape)}; give (rows, width), not empty")
        self.bank = unit(bank_ME)
        return self

    @abstractmethod
    def apply(self, gallery_GE: Tensor) -> Tensor:
        """Unit rows (G, E); give the whole gallery at once. Raises DataError before `fit` or for another width."""

    def _given(self, gallery_GE: Tensor) -> tuple[Tensor, Tensor]:
        if self.bank is None:
            raise DataError(f"{type(self).__name__}: not fitted; call fit(bank) first")
        if gallery_GE.ndim != 2 or gallery_GE.shape[1] != self.bank.shape[1] or not len(gallery_GE):
            raise DataError(
                f"{type(self).__name__}: gallery is {tuple(gallery_GE.shape)}, the bank {tuple(self.bank.shape)}"
            )
        x_GE = unit(gallery_GE)
        return x_GE, self.bank.to(x_GE)


class InvGC(FeatureAdjustment):
    """x' = norm(x - (rate / M) sum_j (x . y_j - mean) y_j) over the bank y, mean over all G x M dot products
    (inverse graph convolution, Jian and Wang 2023).

    rate: r, tuned on validation data; 0 leaves the gallery as it is. Cost O((G + M) E^2): sum_j (x . y_j) y_j is
    x (Y^T Y), so no G x M matrix is made.
    """

    def __init__(self, *, rate: float) -> None:
        self.rate = _rate(self, rate)

    def apply(self, gallery_GE: Tensor) -> Tensor:
        x_GE, bank_ME = self._given(gallery_GE)
        mean = torch.dot(x_GE.mean(dim=0), bank_ME.mean(dim=0))
        pull_GE = x_GE @ (bank_ME.T @ bank_ME) - mean * bank_ME.sum(dim=0)
        return _pushed(x_GE, pull_GE * (self.rate / len(bank_ME)))


class LocalAdj(FeatureAdjustment):
    """x' = norm(x - (rate / k) sum_j (x . y_j) y_j) over the k = share * M rows of the bank nearest to x, at least one
    (InvGC with local adjacency, same source). Dot products are taken as they are, without their mean."""

    def __init__(self, *, rate: float, share: float = 0.01, chunk: int = CHUNK) -> None:
        if not 0 < share <= 1:
            raise ConfigError(f"LocalAdj: share is {share}; give a share of the bank in (0, 1], for instance 0.01")
        self.rate, self.share, self.chunk = _rate(self, rate), float(share), chunk

    def apply(self, gallery_GE: Tensor) -> Tensor:
        x_GE, bank_ME = self._given(gallery_GE)
        k = max(1, int(self.share * len(bank_ME)))
        pulls = []
        for block in row_blocks(len(x_GE), self.chunk):
            score_gM = x_GE[block] @ bank_ME.T
            near = score_gM.topk(k, dim=1)
            pulls.append(torch.zeros_like(score_gM).scatter_(1, near.indices, near.values) @ bank_ME)
        return _pushed(x_GE, torch.cat(pulls) * (self.rate / k))


class BothBanks:
    """norm((a + b) / 2) of the gallery adjusted by a bank of gallery rows and by a bank of queries, as published.

    The queries' bank lowers what queries find too easily; the gallery's bank thins out crowded regions.
    """

    def __init__(self, *, gallery: FeatureAdjustment, query: FeatureAdjustment) -> None:
        self.gallery, self.query = gallery, query

    def fit(self, gallery_bank_ME: Tensor, query_bank_NE: Tensor) -> Self:
        """Returns itself."""
        self.gallery.fit(gallery_bank_ME)
        self.query.fit(query_bank_NE)
        return self

    def apply(self, gallery_GE: Tensor) -> Tensor:
        a_GE, b_GE = self.gallery.apply(gallery_GE), self.query.apply(gallery_GE)
        if torch.equal(a_GE, b_GE):  # both without effect: not even a rounding
            return a_GE
        mean_GE = (a_GE + b_GE) / 2
        return _normalised(mean_GE, unit(gallery_GE))


def _rate(who: FeatureAdjustment, rate: float) -> float:
    if rate < 0:
        raise ConfigError(f"{type(who).__name__}: rate is {rate}; give 0 (no change) or more")
    return float(rate)


def _pushed(x_GE: Tensor, push_GE: Tensor) -> Tensor:
    return x_GE if not push_GE.any() else _normalised(x_GE - push_GE, x_GE)


def _normalised(moved_GE: Tensor, before_GE: Tensor) -> Tensor:
    """Unit rows; a row that was pushed to zero stays where it was before, since no direction is left to search by."""
    gone_G1 = moved_GE.norm(dim=1, keepdim=True) <= VANISHED
    return torch.where(gone_G1, before_GE, F.normalize(moved_GE, dim=1))
