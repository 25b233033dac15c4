"""AUROC, AUPRC and calibration of multi-label scores, with intervals that resample groups.

Shape legend: N = rows, L = labels, R = resamples, S = repeated runs (seeds) on the same rows.
Labels are 0, 1 or nan (unknown, ignored for that label alone). A label without both classes has no AUROC: it is left
out of the macro mean and listed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.bootstrap import Floats, Groups, Interval, bootstrap_interval


@dataclass(frozen=True, slots=True)
class LabelScores:
    """One label. chance of AUROC is 0.5, of AUPRC the prevalence."""

    auroc: Interval
    auprc: Interval
    positives: int
    negatives: int

    @property
    def prevalence(self) -> float:
        return self.positives / (self.positives + self.negatives)


@dataclass(frozen=True, slots=True)
class ClassificationScores:
    """labels: name -> scores, for the labels with both classes. skipped: the names without."""

    labels: dict[str, LabelScores]
    macro_auroc: Interval
    macro_auprc: Interval
    skipped: tuple[str, ...]
    protocol: dict[str, Any]

    def flat(self) -> dict[str, float]:
        """`macro_auroc` (+ _low, _high), `macro_auprc`, `labels_scored`, `auroc/<label>`, `auprc/<label>`."""
        out = self.macro_auroc.flat("macro_auroc") | self.macro_auprc.flat("macro_auprc")
        out["labels_scored"] = float(len(self.labels))
        for name, s in self.labels.items():
            out |= {f"auroc/{name}": s.auroc.value, f"auprc/{name}": s.auprc.value}
        return out


class RankedLabel:
    """One label's scores, sorted once, so that weighted AUROC and AUPRC of many resamples are cumulative sums.

    With unit weights the values equal `sklearn.metrics.roc_auc_score` and `average_precision_score`; with integer
    weights they equal those of the repeated rows. nan where a resample has one class only.
    """

    def __init__(self, score_N: NDArray[np.floating], label_N: NDArray[np.floating]) -> None:
        known_N = np.isfinite(label_N)
        index_K = np.flatnonzero(known_N)
        self.order_K = index_K[np.argsort(-np.asarray(score_N, dtype=np.float64)[index_K], kind="stable")]
        self.positive_K = np.asarray(label_N)[self.order_K] > 0.5
        sorted_K = np.asarray(score_N, dtype=np.float64)[self.order_K]
        # first row of every run of equal scores: a threshold lies between runs, never inside one
        self.run_T = np.flatnonzero(np.r_[True, sorted_K[1:] != sorted_K[:-1]]) if len(sorted_K) else index_K

    @property
    def positives(self) -> int:
        return int(self.positive_K.sum())

    @property
    def negatives(self) -> int:
        return len(self.positive_K) - self.positives

    def _runs(self, w_RN: Floats) -> tuple[Floats, Floats]:
        """Positive and negative weight of every run of equal scores, best first, (R, T) each; of a label that no row
        has, one run without weight."""
        if not len(self.order_K):
            empty_R1 = np.zeros((len(w_RN), 1))
            return empty_R1, empty_R1
        w_RK = w_RN[:, self.order_K]
        positive_RT = np.add.reduceat(w_RK * self.positive_K, self.run_T, axis=1)
        return positive_RT, np.add.reduceat(w_RK, self.run_T, axis=1) - positive_RT

    def auroc(self, w_RN: Floats) -> Floats:
        """P(score of a positive > of a negative) + half of P(equal): the Mann-Whitney form, (R,)."""
        positive_RT, negative_RT = self._runs(w_RN)
        above_RT = np.cumsum(positive_RT, axis=1) - positive_RT / 2
        pairs_R = positive_RT.sum(axis=1) * negative_RT.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(pairs_R > 0, (above_RT * negative_RT).sum(axis=1) / pairs_R, np.nan)

    def auprc(self, w_RN: Floats) -> Floats:
        """Average precision, sum over thresholds of (recall step) * precision, not interpolated, (R,)."""
        positive_RT, negative_RT = self._runs(w_RN)
        true_RT = np.cumsum(positive_RT, axis=1)
        called_RT = true_RT + np.cumsum(negative_RT, axis=1)
        total_R = true_RT[:, -1]
        both_R = (total_R > 0) & (called_RT[:, -1] > total_R)
        with np.errstate(invalid="ignore", divide="ignore"):
            step_RT = np.where(called_RT > 0, positive_RT * true_RT / called_RT, 0.0)
            return np.where(both_R, step_RT.sum(axis=1) / total_R, np.nan)


def ranked_labels(scores_NL: NDArray[np.floating], labels_NL: NDArray[np.floating]) -> list[RankedLabel]:
    """Every column sorted. Raises DataError for shapes that differ, nan scores, or labels other than 0, 1 and nan."""
    scores_NL, labels_NL = np.asarray(scores_NL), np.asarray(labels_NL, dtype=np.float64)
    if scores_NL.ndim != 2 or scores_NL.shape != labels_NL.shape:
        raise DataError(f"classification: scores are {scores_NL.shape}, labels {labels_NL.shape}; both must be (N, L)")
    if not np.isfinite(scores_NL).all():
        bad = int((~np.isfinite(scores_NL)).any(axis=1).sum())
        raise DataError(f"classification: {bad} of {len(scores_NL)} rows have a score that is nan or inf")
    known_NL = labels_NL[np.isfinite(labels_NL)]
    if not np.isin(known_NL, (0.0, 1.0)).all():
        odd = known_NL[~np.isin(known_NL, (0.0, 1.0))][0]
        raise DataError(f"classification: a label is {odd:g}; give 0, 1, or nan for unknown")
    return [RankedLabel(scores_NL[:, i], labels_NL[:, i]) for i in range(scores_NL.shape[1])]


def macro(values_LR: Sequence[Floats]) -> Floats:
    """Mean over labels, ignoring those a resample left with one class; nan when none is left, (R,)."""
    stacked_LR = np.stack(list(values_LR))
    known_LR = np.isfinite(stacked_LR)
    count_R = known_LR.sum(axis=0)
    total_R = np.where(known_LR, stacked_LR, 0.0).sum(axis=0)
    return np.where(count_R > 0, total_R / np.maximum(count_R, 1), np.nan)


def macro_auroc(scores_NL: NDArray[np.floating], labels_NL: NDArray[np.floating]) -> float:
    """Mean AUROC over the labels with both classes, without an interval; nan when there is none."""
    return _macro_of(scores_NL, labels_NL, RankedLabel.auroc)


def macro_auprc(scores_NL: NDArray[np.floating], labels_NL: NDArray[np.floating]) -> float:
    """Mean average precision over the labels with both classes, without an interval; nan when there is none."""
    return _macro_of(scores_NL, labels_NL, RankedLabel.auprc)


def _macro_of(
    scores_NL: NDArray[np.floating],
    labels_NL: NDArray[np.floating],
    figure: Callable[[RankedLabel, Floats], Floats],
) -> float:
    one_RN = np.ones((1, len(scores_NL)))
    both = [r for r in ranked_labels(scores_NL, labels_NL) if r.positives and r.negatives]
    return float(macro([figure(r, one_RN) for r in both])[0]) if both else float("nan")


def classification_scores(
    scores_NL: NDArray[np.floating],
    labels_NL: NDArray[np.floating],
    names_L: Sequence[str],
    *,
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
) -> ClassificationScores:
    """AUROC and AUPRC per label and their macro means, with 95% intervals.

    scores_NL: higher means more likely; probabilities, logits or differences of cosines. groups_N: what is resampled
    together (patients); None resamples rows. Raises DataError when no label has both classes, and for bad input.
    """
    ranked = ranked_labels(scores_NL, labels_NL)
    if len(names_L) != len(ranked):
        raise DataError(f"classification: {len(names_L)} names for {len(ranked)} labels")
    used = {name: r for name, r in zip(names_L, ranked, strict=True) if r.positives and r.negatives}
    skipped = tuple(name for name in names_L if name not in used)
    rows = len(scores_NL)
    if not used:
        raise DataError(f"classification: none of {len(names_L)} labels has both classes in {rows} rows")

    def interval(statistic: Any) -> Interval:
        return bootstrap_interval(statistic, rows, groups_N=groups_N, n=n_bootstrap, seed=seed)

    labels = {
        name: LabelScores(interval(r.auroc), interval(r.auprc), r.positives, r.negatives) for name, r in used.items()
    }
    protocol = {
        "rows": rows,
        "labels_scored": len(used),
        "labels_skipped": list(skipped),
        "auprc": "average precision, not interpolated",
        "bootstrap": {"n": n_bootstrap, "seed": seed, "unit": "row" if groups_N is None else "group", "level": 0.95},
        "split": split,
    }
    return ClassificationScores(
        labels=labels,
        macro_auroc=interval(lambda w_RN: macro([r.auroc(w_RN) for r in used.values()])),
        macro_auprc=interval(lambda w_RN: macro([r.auprc(w_RN) for r in used.values()])),
        skipped=skipped,
        protocol=protocol,
    )


def macro_auroc_gain(
    scores_SNL: NDArray[np.floating],
    baseline_SNL: NDArray[np.floating],
    labels_NL: NDArray[np.floating],
    *,
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """Macro AUROC of `scores` minus that of `baseline` on the same rows, paired: both see the same resamples.

    Each side may be (N, L), or (S, N, L) for S repeated runs, which are averaged after scoring.
    """

    def runs(x: NDArray[np.floating]) -> list[list[RankedLabel]]:
        x_SNL = np.asarray(x)[None] if np.ndim(x) == 2 else np.asarray(x)
        return [[r for r in ranked_labels(x_NL, labels_NL) if r.positives and r.negatives] for x_NL in x_SNL]

    ours, theirs = runs(scores_SNL), runs(baseline_SNL)
    if not ours[0]:
        raise DataError("classification: no label has both classes; there is no AUROC to compare")

    def mean(sides: list[list[RankedLabel]], w_RN: Floats) -> Floats:
        return np.mean([macro([r.auroc(w_RN) for r in side]) for side in sides], axis=0)

    return bootstrap_interval(
        lambda w_RN: mean(ours, w_RN) - mean(theirs, w_RN),
        len(labels_NL), groups_N=groups_N, n=n_bootstrap, seed=seed,
    )  # fmt: skip
