"""Registration errors against closed forms and cases worked by hand."""

import math

import numpy as np
import pytest

from core.errors import ConfigError
from core.evaluation.registration import area_under_curve, corner_error, registration_scores, share_below, transformed

SHIFT = np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1]], float)


def test_a_shift_moves_every_corner_by_its_length():
    assert corner_error(SHIFT, np.eye(3), (20, 30)) == pytest.approx(5.0)
    assert corner_error(SHIFT, SHIFT, (20, 30)) == 0


def test_a_stretch_by_hand():
    # x doubled about the origin: corners at x = 0 stay, those at x = 9 move by 9
    assert corner_error(np.diag([2.0, 1, 1]), np.eye(3), (5, 10)) == pytest.approx(4.5)


def test_a_homography_divides_by_its_last_row():
    matrix = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0, 1]])
    np.testing.assert_allclose(transformed(matrix, [(2.0, 4.0)]), [(1.0, 2.0)])


def test_area_is_the_integral_of_the_cumulative_share():
    errors = np.random.default_rng(0).uniform(0, 8, 400)
    steps = np.linspace(0, 5, 200_001)
    share = np.searchsorted(np.sort(errors), steps, side="right") / len(errors)
    assert area_under_curve(errors, 5.0) == pytest.approx(np.trapezoid(share, steps) / 5, abs=1e-4)


def test_area_of_none_and_of_perfect():
    assert area_under_curve([0, 0], 3) == 1
    assert area_under_curve([math.inf, math.nan, 3.0], 3) == 0


def test_share_counts_the_threshold_itself_and_no_failure():
    assert share_below([1, 3, 5, math.nan], 3) == 0.5


def test_failures_weigh_on_median_and_mean_and_on_every_area():
    scores = registration_scores([1.0, math.inf, math.nan], failed=100.0)
    assert (scores.median, scores.mean, scores.failures) == (100.0, 67.0, pytest.approx(2 / 3))
    assert scores.auc[5.0] == pytest.approx(0.8 / 3)
    assert scores.flat()["within_3px"] == pytest.approx(1 / 3)


def test_nothing_measured_is_an_error():
    with pytest.raises(ConfigError, match="no pair was measured"):
        registration_scores([], failed=1.0)
    with pytest.raises(ConfigError, match="at least 0"):
        area_under_curve([-1.0], 3)
