"""Figures over a sequence of tasks, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.errors import DataError
from core.evaluation.continual import (
    average_figure,
    average_over_time,
    backward_transfer,
    continual_scores,
    forgetting,
    forward_transfer,
)

nan = math.nan
R = [[0.8, nan, nan], [0.9, 0.7, nan], [0.5, 0.6, 0.9]]


def test_each_figure_by_hand():
    assert average_figure(R) == pytest.approx((0.5 + 0.6 + 0.9) / 3)
    assert average_over_time(R) == pytest.approx((0.8 + 0.8 + 2.0 / 3) / 3)
    assert backward_transfer(R) == pytest.approx(((0.5 - 0.8) + (0.6 - 0.7)) / 2)
    assert forgetting(R) == pytest.approx(((0.9 - 0.5) + (0.7 - 0.6)) / 2)  # from the best, not from the first


def test_nothing_lost_is_zero_and_a_gain_has_the_right_sign():
    still = [[0.5, nan], [0.5, 0.9]]
    assert backward_transfer(still) == forgetting(still) == 0
    better = [[0.5, nan], [0.7, 0.9]]
    assert backward_transfer(better) == pytest.approx(0.2)
    assert forgetting(better) == pytest.approx(-0.2)


def test_a_single_task_has_nothing_to_forget():
    scores = continual_scores([[0.4]])
    assert (scores.backward, scores.forgetting, scores.average, scores.over_time) == (0, 0, 0.4, 0.4)
    assert forward_transfer([[0.4]], [0.1]) == 0


def test_forward_transfer_needs_the_tasks_ahead():
    ahead = np.array(R)
    ahead[0, 1], ahead[1, 2] = 0.3, 0.4
    assert forward_transfer(ahead, [0.1, 0.1, 0.2]) == pytest.approx((0.2 + 0.2) / 2)
    with pytest.raises(DataError, match="above the diagonal"):
        forward_transfer(R, [0.1, 0.1, 0.2])
    with pytest.raises(DataError, match="2 untrained figures for 3 tasks"):
        forward_transfer(ahead, [0.1, 0.1])


def test_flat_names_every_task():
    assert continual_scores(R).flat() == {
        "average": pytest.approx(2 / 3),
        "over_time": pytest.approx(0.755556, abs=1e-5),
        "backward": pytest.approx(-0.2),
        "forgetting": pytest.approx(0.25),
        "task_0": 0.5,
        "task_1": 0.6,
        "task_2": 0.9,
    }


@pytest.mark.parametrize(
    ("matrix", "fault"),
    [([[0.1, 0.2]], "one row and one column per task"), ([], "shape"), ([[0.1, nan], [nan, 0.2]], "nan or inf at or")],
)
def test_a_matrix_that_is_none_is_refused(matrix, fault):
    with pytest.raises(DataError, match=fault):
        average_figure(matrix)
