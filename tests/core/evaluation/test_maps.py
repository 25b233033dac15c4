"""Confusion matrices and IoU against counts made by hand. Legend: K = classes."""

import numpy as np
import pytest

from core.errors import DataError
from core.evaluation.maps import confusion, iou, map_difference, map_scores

TARGET = np.array([[0, 0, 1], [1, 2, -1]])
PREDICTED = np.array([[0, 1, 1], [1, 0, 2]])


def test_a_confusion_matrix_counts_labelled_pixels_by_true_and_predicted_class():
    assert confusion(PREDICTED, TARGET, 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_iou_is_intersection_over_union_and_undefined_for_a_class_that_no_pixel_has():
    counts = confusion(PREDICTED, TARGET, 4).astype(float)
    np.testing.assert_allclose(iou(counts), [1 / 3, 2 / 3, 0, np.nan])


def test_counts_are_added_before_they_are_divided():
    counts = np.array([[[8, 0], [0, 0]], [[0, 1], [0, 1]]])  # a map of one class, and one that is half wrong
    scores = map_scores(counts, ("a", "b"), n_bootstrap=50)
    assert scores.iou == {"a": pytest.approx(8 / 9), "b": pytest.approx(1 / 2)}
    assert scores.mean_iou.value == pytest.approx((8 / 9 + 1 / 2) / 2)
    assert scores.accuracy.value == pytest.approx(9 / 10)
    assert scores.mean_iou.low <= scores.mean_iou.value <= scores.mean_iou.high
    assert {"mean_iou", "mean_iou_low", "accuracy", "iou/b"} <= set(scores.flat())


def test_a_class_outside_and_maps_without_labels_are_errors():
    with pytest.raises(DataError, match="label 0 to 3 is outside the 3 classes"):
        confusion(np.zeros(2, int), np.array([0, 3]), 3)
    with pytest.raises(DataError, match="no pixel is labelled"):
        map_scores(np.zeros((1, 2, 2), int), ("a", "b"))


def test_a_difference_of_maps_is_paired():
    """What the choice of maps does to both sides cancels: equal sides differ by exactly nothing."""
    easy, hard = np.array([[8, 0], [0, 8]]), np.array([[1, 7], [7, 1]])
    ours = np.stack([easy, hard, easy, hard])
    found = map_difference([ours], [ours], groups_N=[0, 1, 2, 3], n_bootstrap=200)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    theirs = np.stack([hard, hard, easy, hard])
    one = map_difference([ours], [theirs], groups_N=[0, 1, 2, 3], n_bootstrap=200)
    # ours: 18 of 32 right, IoU 18 / 46; theirs: 11 of 32, 11 / 53
    assert one.value == pytest.approx(18 / 46 - 11 / 53)
    both = map_difference([ours, ours], [theirs, ours], groups_N=[0, 1, 2, 3], n_bootstrap=200)
    assert both.value == pytest.approx(one.value / 2)
    with pytest.raises(DataError, match="same maps"):
        map_difference([ours], [theirs[:2]])
