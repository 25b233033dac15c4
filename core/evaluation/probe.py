"""Probes of frozen features: a linear one and a nearest-neighbour one, each a rule that scores test rows.

Shape legend: N = training rows, M = test rows, D = feature width, L = labels, k = neighbours.
A label with one class among its known training
rows cannot be learnt: it scores 0 everywhere (AUROC 0.5), and the caller is told.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.evaluation.classification import macro_auroc

Array = NDArray[np.float64]


class Probe(ABC):
    """A rule that learns labels from features. Its typed keyword-only `__init__` is its config."""

    name: str

    @abstractmethod
    def scores(self, train_ND: Array, labels_NL: Array, test_MD: Array) -> Array:
        """Scores (M, L), higher means more likely; 0 for a label without both classes in training."""

    def chosen(self, train_ND: Array, labels_NL: Array, valid_MD: Array, valid_labels_ML: Array) -> Probe:
        """The same probe with its settings chosen on validation rows; by default there is nothing to choose."""
        return self


class LinearProbe(Probe):
    """Logistic regression with an L2 penalty, one per label (scikit-learn); features standardised over training rows.

    c: inverse strength of the penalty, used when there are no validation rows. c_grid: the values tried on validation
    rows; the best macro AUROC wins, the stronger penalty on a tie; one value serves all labels.
    """

    name = "linear"

    def __init__(self, *, c: float = 0.01, c_grid: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)) -> None:
        if c <= 0 or not c_grid or min(c_grid) <= 0:
            raise ConfigError(f"linear probe: c is {c}, c_grid is {list(c_grid)}; every value must be above 0")
        self.c, self.c_grid = c, tuple(sorted(c_grid))

    def scores(self, train_ND: Array, labels_NL: Array, test_MD: Array) -> Array:
        train, test = _compressed(*_standardised(train_ND, test_MD))
        return self._scores(train, labels_NL, test)

    def chosen(self, train_ND: Array, labels_NL: Array, valid_MD: Array, valid_labels_ML: Array) -> LinearProbe:
        train, valid = _compressed(*_standardised(train_ND, valid_MD))
        reached = [macro_auroc(LinearProbe(c=c)._scores(train, labels_NL, valid), valid_labels_ML) for c in self.c_grid]
        if np.isnan(reached).all():
            return self
        return LinearProbe(c=self.c_grid[int(np.nanargmax(reached))], c_grid=self.c_grid)

    def _scores(self, train: Array, labels_NL: Array, test: Array) -> Array:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        out_ML = np.zeros((len(test), labels_NL.shape[1]))
        for i, y_N in enumerate(labels_NL.T):
            known_N = np.isfinite(y_N)
            if len(np.unique(y_N[known_N])) < 2:
                continue
            model = LogisticRegression(C=self.c, max_iter=500)
            with warnings.catch_warnings():
                # a step that stops short of 1e-4 on separable rows still ranks them; the score needs no more
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(train[known_N], y_N[known_N])
            out_ML[:, i] = model.decision_function(test)
        return out_ML


class KNNProbe(Probe):
    """Share of positives among the k nearest training rows by cosine, each weighted exp(cosine / temperature).

    Source: Wu et al. 2018 (instance discrimination), section 3.4; the training mean is taken off first, so that a
    direction all rows share does not flatten the cosines. Rows whose label is unknown do not vote.
    """

    name = "knn"

    def __init__(self, *, k: int = 20, temperature: float = 0.07) -> None:
        if k < 1 or temperature <= 0:
            raise ConfigError(f"kNN probe: k is {k} and temperature {temperature}; both must be above 0")
        self.k, self.temperature = k, temperature

    def scores(self, train_ND: Array, labels_NL: Array, test_MD: Array) -> Array:
        train, test = (_unit(x - train_ND.mean(axis=0)) for x in (train_ND, test_MD))
        weight_MN = np.exp((test @ train.T - 1.0) / self.temperature)  # minus 1: at most 1, and the ratio is the same
        out_ML = np.zeros((len(test), labels_NL.shape[1]))
        for i, y_N in enumerate(labels_NL.T):
            known_N = np.isfinite(y_N)
            if len(np.unique(y_N[known_N])) < 2:
                continue
            vote_MN, y_K = weight_MN[:, known_N], y_N[known_N]
            k = min(self.k, len(y_K))
            near_Mk = np.argpartition(-vote_MN, k - 1, axis=1)[:, :k]
            near_vote_Mk = np.take_along_axis(vote_MN, near_Mk, axis=1)
            out_ML[:, i] = (near_vote_Mk * y_K[near_Mk]).sum(axis=1) / near_vote_Mk.sum(axis=1)
        return out_ML


def one_class_labels(labels_NL: Array) -> NDArray[np.bool_]:
    """Which labels lack a class among their known rows, (L,) bool."""
    return np.array([len(np.unique(y_N[np.isfinite(y_N)])) < 2 for y_N in labels_NL.T], dtype=bool)


def _standardised(train_ND: Array, test_MD: Array) -> tuple[Array, Array]:
    mean_D, std_D = train_ND.mean(axis=0), train_ND.std(axis=0)
    # a feature that never varies carries nothing; left unscaled it stays 0 in training and finite in the test
    std_D = np.where(std_D > 1e-8 * (1.0 + np.abs(mean_D)), std_D, np.inf)
    return (train_ND - mean_D) / std_D, (test_MD - mean_D) / std_D


def _compressed(train_ND: Array, test_MD: Array) -> tuple[Array, Array]:
    """The same linear problem in at most N coordinates: the L2 optimum lies in the span of the training rows, so a
    rotation onto that span changes no score and makes few-label fits cheap."""
    if len(train_ND) >= train_ND.shape[1]:
        return train_ND, test_MD
    basis_DK = np.linalg.svd(train_ND.T, full_matrices=False)[0]
    return train_ND @ basis_DK, test_MD @ basis_DK


def _unit(x_ND: Array) -> Array:
    return x_ND / np.maximum(np.linalg.norm(x_ND, axis=1, keepdims=True), 1e-12)
