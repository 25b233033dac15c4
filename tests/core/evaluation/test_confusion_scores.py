"""Figures of confusion matrices and of several labels per row, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.evaluation.confusion_scores import confusion_figures, confusion_scores
from core.evaluation.multilabel import multilabel_scores


def test_figures_of_a_small_matrix_by_hand():
    """True class 0: 3 right, 1 called class 1. True class 1: 2 right, 2 called 0. Class 2 never occurs, called once."""
    found = confusion_figures(np.array([[3, 1, 0], [1, 2, 1], [0, 0, 0]], float))
    assert found["accuracy"] == pytest.approx(5 / 8)
    assert found["average_accuracy"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert found["iou"][:2] == pytest.approx([3 / 5, 2 / 5])
    assert found["f1"][:2] == pytest.approx([6 / 8, 4 / 7])
    assert found["precision"] == pytest.approx([3 / 4, 2 / 3, 0])
    assert found["macro_f1"] == pytest.approx((6 / 8 + 4 / 7) / 2)
    assert np.isnan(found["iou"][2])


def test_figures_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    true, called = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    matrix = metrics.confusion_matrix(true, called).astype(float)
    found = confusion_figures(matrix)
    assert found["average_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, called))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(true, called, average="macro"))
    assert found["iou"] == pytest.approx(metrics.jaccard_score(true, called, average=None))


def test_intervals_resample_groups_and_name_what_is_wrong():
    each = np.stack([np.diag([2, 0]), np.diag([0, 2]), np.array([[0, 1], [0, 0]])])
    scores = confusion_scores(each, ["a", "b"], of=("accuracy", "f1/b"), groups_N=[0, 1, 2], n_bootstrap=400)
    assert scores["accuracy"].value == pytest.approx(4 / 5)
    assert scores["accuracy"].low == 0  # a resample may hold the wrong row alone
    assert scores["accuracy"].high == 1
    assert scores["f1/b"].value == pytest.approx(4 / 5)
    assert confusion_scores(each, ["a", "b"], groups_N=[0, 0, 0])["accuracy"].low == pytest.approx(4 / 5)
    with pytest.raises(DataError, match="nothing is labelled"):
        confusion_scores(np.zeros((2, 2, 2), int), ["a", "b"])
    with pytest.raises(DataError, match="'c' is not among"):
        confusion_scores(each, ["a", "b"], of=("f1/c",))


def test_labels_of_rows_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    label = (rng.random((120, 5)) < 0.4).astype(float)
    score = np.clip(0.3 * label + rng.random((120, 5)) * 0.7, 0, 1)
    found = {name: interval.value for name, interval in multilabel_scores(score, label, n_bootstrap=50).items()}
    for kind in ("macro", "micro"):
        assert found[f"{kind}_map"] == pytest.approx(metrics.average_precision_score(label, score, average=kind))
        assert found[f"{kind}_f1"] == pytest.approx(metrics.f1_score(label, score > 0.5, average=kind))


def test_unknown_labels_count_for_nothing_and_absent_ones_are_left_out():
    label = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, np.nan, 0.0]])
    score = np.array([[0.9, 0.1, 0.2], [0.2, 0.8, 0.1], [0.7, 0.9, 0.3]])
    found = multilabel_scores(score, label, n_bootstrap=50)
    assert all(interval.value == 1 for interval in found.values())
