"""AUROC, AUPRC and calibration against scikit-learn and closed forms. Legend: N = rows, L = labels."""

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from core.errors import DataError
from core.evaluation.bootstrap import group_codes, resample_weights
from core.evaluation.calibration import operating_point, reliability, youden_threshold
from core.evaluation.classification import RankedLabel, classification_scores, macro_auroc, macro_auroc_gain


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 4)) < [0.5, 0.2, 0.7, 0.3]).astype(float)
    scores = np.round(labels + rng.normal(0, 1.2, (80, 4)), 1)  # rounded: with ties
    labels[rng.random((80, 4)) < 0.1] = np.nan
    return scores, labels


def test_point_values_equal_sklearn(data):
    scores, labels = data
    result = classification_scores(scores, labels, list("abcd"), n_bootstrap=20)
    for i, name in enumerate("abcd"):
        known = np.isfinite(labels[:, i])
        y, s = labels[known, i], scores[known, i]
        assert result.labels[name].auroc.value == pytest.approx(roc_auc_score(y, s), abs=1e-12)
        assert result.labels[name].auprc.value == pytest.approx(average_precision_score(y, s), abs=1e-12)
        assert result.labels[name].prevalence == pytest.approx(y.mean())
    assert result.macro_auroc.value == pytest.approx(np.mean([r.auroc.value for r in result.labels.values()]))
    assert macro_auroc(scores, labels) == result.macro_auroc.value


def test_weighted_values_equal_sklearn_on_every_resample(data):
    scores, labels = data
    known = np.isfinite(labels[:, 1])
    y, s = labels[known, 1], scores[known, 1]
    ranked = RankedLabel(s, y)
    (w,) = list(resample_weights(group_codes(None, len(y)), n=30, seed=3))
    for row, auroc, auprc in zip(w, ranked.auroc(w), ranked.auprc(w)):
        assert auroc == pytest.approx(roc_auc_score(y, s, sample_weight=row), abs=1e-10)
        assert auprc == pytest.approx(average_precision_score(y, s, sample_weight=row), abs=1e-10)


def test_perfect_reversed_and_constant_scores():
    y = np.array([[0], [0], [1], [1], [1]], dtype=float)
    assert macro_auroc(y, y) == 1
    assert macro_auroc(-y, y) == 0
    assert macro_auroc(np.zeros_like(y), y) == 0.5


def test_a_label_with_one_class_is_skipped_and_named(data):
    scores, labels = data
    labels[:, 2] = 1
    labels[:, 3] = np.nan
    result = classification_scores(scores, labels, list("abcd"), n_bootstrap=10)
    assert result.skipped == ("c", "d")
    assert result.flat()["labels_scored"] == 2
    with pytest.raises(DataError, match="none of 2 labels has both classes"):
        classification_scores(scores[:, 2:], labels[:, 2:], ["c", "d"])


def test_sixteen_labels_of_200_rows_bootstrap_in_time():
    rng = np.random.default_rng(1)
    labels = (rng.random((200, 16)) < 0.2).astype(float)
    scores = labels + rng.normal(0, 1, labels.shape)
    start = time.perf_counter()
    result = classification_scores(
        scores, labels, [f"l{i}" for i in range(16)], groups_N=[f"p{i // 2}" for i in range(200)]
    )
    assert time.perf_counter() - start < 3
    assert result.macro_auroc.resamples == 1000
    assert result.macro_auroc.low < result.macro_auroc.value < result.macro_auroc.high


def test_a_gain_is_paired_and_zero_against_itself(data):
    scores, labels = data
    same = macro_auroc_gain(scores, scores, labels, n_bootstrap=50)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    noise = np.random.default_rng(5).normal(size=scores.shape)
    gain = macro_auroc_gain(scores, np.stack([noise, -noise]), labels, n_bootstrap=200)
    assert gain.value == pytest.approx(macro_auroc(scores, labels) - 0.5)
    assert gain.low > 0


def test_bad_input_is_named(data):
    scores, labels = data
    with pytest.raises(DataError, match="scores are \\(80, 3\\), labels \\(80, 4\\)"):
        classification_scores(scores[:, :3], labels, list("abcd"))
    scores[3, 0] = np.nan
    with pytest.raises(DataError, match="1 of 80 rows have a score that is nan"):
        macro_auroc(scores, labels)
    with pytest.raises(DataError, match="a label is 2"):
        macro_auroc(np.zeros((2, 1)), np.array([[0.0], [2.0]]))


def test_calibration_of_constant_and_perfect_probabilities():
    y = np.array([1, 0, 0, 0, np.nan])
    assert reliability(np.full(5, 0.25), y).ece == 0
    assert reliability(np.full(5, 0.85), y).ece == pytest.approx(0.6)
    assert reliability(np.nan_to_num(y), y).ece == 0
    assert reliability(np.full(5, 0.25), y, bins=4).count.tolist() == [0, 4, 0, 0]
    with pytest.raises(DataError, match="probabilities in \\[0, 1\\]"):
        reliability(np.full(5, 1.5), y)


def test_the_youden_threshold_separates_what_can_be_separated():
    score, label = np.array([0.1, 0.2, 0.35, 0.8, 0.9]), np.array([0.0, 0, 1, 1, np.nan])
    threshold = youden_threshold(score, label)
    assert threshold == 0.35
    assert operating_point(score, label, threshold=threshold) == {
        "sensitivity": 1, "specificity": 1, "precision": 1, "f1": 1,
    }  # fmt: skip
    with pytest.raises(DataError, match="one class only"):
        youden_threshold(score[:2], label[:2])
