"""Calibration and operating points of probabilities. Shape legend: N = rows, L = labels, K = bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Reliability:
    """ece: expected calibration error in [0, 1]. confidence, frequency, count: mean probability, share of positives and
    rows of every bin, (K,)."""

    ece: float
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    count: NDArray[np.int64]


def reliability(
    probability_NL: NDArray[np.floating], labels_NL: NDArray[np.floating], *, bins: int = 15
) -> Reliability:
    """Reliability of probabilities of the positive class, all labels pooled, unknown labels (nan) left out.

    ECE = sum over equal-width bins of (rows / all rows) * |share of positives - mean probability|
    (Naeini et al. 2015; Guo et al. 2017, equation 3, for the positive class). Any matching shapes are accepted.
    """
    p, y = np.asarray(probability_NL, dtype=np.float64).ravel(), np.asarray(labels_NL, dtype=np.float64).ravel()
    if p.shape != y.shape:
        raise DataError(f"calibration: {p.size} probabilities for {y.size} labels")
    if bins < 1:
        raise ConfigError(f"calibration: bins is {bins}; give at least 1")
    known = np.isfinite(y)
    p, y = p[known], y[known]
    if not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise DataError("calibration: needs a known label and probabilities in [0, 1]; apply a sigmoid first")
    bin_N = np.minimum((p * bins).astype(np.int64), bins - 1)
    count_K = np.bincount(bin_N, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence_K = np.bincount(bin_N, weights=p, minlength=bins) / count_K
        frequency_K = np.bincount(bin_N, weights=y, minlength=bins) / count_K
    gap_K = np.where(count_K > 0, np.abs(frequency_K - confidence_K), 0.0)
    return Reliability(float((gap_K * count_K).sum() / len(p)), confidence_K, frequency_K, count_K)


def youden_threshold(score_N: NDArray[np.floating], label_N: NDArray[np.floating]) -> float:
    """The score that maximises sensitivity + specificity - 1 (call positive at or above it).

    Choose it on validation rows and apply it to test rows with `operating_point`; never choose it on the test rows.
    Raises DataError when a class is missing.
    """
    known = np.isfinite(label_N)
    score, positive = np.asarray(score_N)[known], np.asarray(label_N)[known] > 0.5
    if positive.all() or not positive.any():
        raise DataError("threshold: the validation rows hold one class only; choose the threshold on other rows")
    order = np.argsort(-score, kind="stable")
    sorted_score, hit = score[order], positive[order]
    last = np.r_[sorted_score[1:] != sorted_score[:-1], True]  # a threshold cannot split equal scores
    gain = np.cumsum(hit) / hit.sum() - np.cumsum(~hit) / (~hit).sum()
    return float(sorted_score[last][np.argmax(gain[last])])


def operating_point(
    score_N: NDArray[np.floating], label_N: NDArray[np.floating], *, threshold: float
) -> dict[str, float]:
    """sensitivity, specificity, precision and f1 of calling `score >= threshold` positive; nan where undefined."""
    known = np.isfinite(label_N)
    called, positive = np.asarray(score_N)[known] >= threshold, np.asarray(label_N)[known] > 0.5

    def share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
        return float((part & whole).sum() / whole.sum()) if whole.any() else float("nan")

    denominator = int(called.sum() + positive.sum())
    return {
        "sensitivity": share(called, positive),
        "specificity": share(~called, ~positive),
        "precision": share(positive, called),
        "f1": 2 * float((called & positive).sum()) / denominator if denominator else float("nan"),
    }
