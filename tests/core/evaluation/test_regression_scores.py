"""Figures of predicted values: closed forms, resamples repeated row by row, ties, unknown values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from core.errors import DataError
from core.evaluation.regression import r2_statistic, regression_scores, spearman_statistic

PREDICTED, TRUE = np.array([1.0, 2.0, 4.0, 3.0, 3.0]), np.array([1.5, 2.0, 3.0, 5.0, 1.0])


def test_the_mean_has_no_r2_and_the_truth_has_all_of_it():
    assert regression_scores(np.full(5, TRUE.mean()), TRUE, n_bootstrap=5).r2.value == pytest.approx(0, abs=1e-12)
    perfect = regression_scores(TRUE, TRUE, n_bootstrap=5)
    assert (perfect.r2.value, perfect.rmse.value, perfect.mae.value) == (1, 0, 0)
    assert perfect.spearman.value == pytest.approx(1)
    assert perfect.deviation == pytest.approx(TRUE.std())


def test_errors_by_hand():
    found = regression_scores(PREDICTED, TRUE, n_bootstrap=5)
    assert found.mae.value == pytest.approx((0.5 + 0 + 1 + 2 + 2) / 5)
    assert found.rmse.value == pytest.approx(math.sqrt((0.25 + 0 + 1 + 4 + 4) / 5))
    assert found.r2.value == pytest.approx(1 - 9.25 / ((TRUE - 2.5) ** 2).sum())
    assert found.spearman.value == pytest.approx(spearmanr(PREDICTED, TRUE).statistic)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_a_resample_is_the_rows_repeated(offset):
    rng = np.random.default_rng(0)
    y = np.round(rng.normal(size=40), 1) + offset
    p = np.round(y + rng.normal(size=40), 1)
    w_RN = rng.integers(0, 4, (3, 40)).astype(float)
    for w_N, r2, rho in zip(w_RN, r2_statistic(p, y)(w_RN), spearman_statistic(p, y)(w_RN)):
        yy, pp = (np.repeat(x, w_N.astype(int)) for x in (y, p))
        assert r2 == pytest.approx(1 - ((pp - yy) ** 2).sum() / ((yy - yy.mean()) ** 2).sum(), rel=1e-6)
        assert rho == pytest.approx(spearmanr(pp, yy).statistic, abs=1e-9)


def test_unknown_values_do_not_count_and_constant_ones_have_no_r2():
    some = regression_scores([*PREDICTED, 99.0], [*TRUE, math.nan], groups_N=[0, 0, 1, 1, 2, 2], n_bootstrap=5)
    assert some.rows == 5
    assert some.r2.value == regression_scores(PREDICTED, TRUE, n_bootstrap=5).r2.value
    flat = regression_scores(PREDICTED, np.full(5, 2.0), n_bootstrap=5)
    assert math.isnan(flat.r2.value)
    assert math.isnan(flat.spearman.value)
    assert flat.mae.value == pytest.approx((1 + 0 + 2 + 1 + 1) / 5)


def test_intervals_draw_groups_together():
    """Two groups, each all right or all wrong: a resample has an error of 0, 1/2 or 1."""
    true, groups = np.array([0.0, 1, 0, 1]), [0, 0, 1, 1]
    found = regression_scores(true + np.array([0, 0, 1, 1.0]), true, groups_N=groups, n_bootstrap=200)
    assert (found.mae.low, found.mae.value, found.mae.high) == (0, 0.5, 1)


def test_what_cannot_be_scored_is_said():
    with pytest.raises(DataError, match=r"no row has a known value"):
        regression_scores([1.0], [math.nan])
    with pytest.raises(DataError, match=r"1 of 2 predictions are not finite"):
        regression_scores([1.0, math.inf], [1.0, 2.0])
    with pytest.raises(DataError, match=r"predictions \(1,\), values \(2,\)"):
        regression_scores([1.0], [1.0, 2.0])
