"""The bootstrap equals the loop it replaces. Legend: N = rows, R = resamples."""

import numpy as np
import pytest

from core.errors import ConfigError, DataError
from core.evaluation.bootstrap import (
    bootstrap_interval,
    group_codes,
    mean_statistic,
    median_statistic,
    resample_weights,
)


def all_weights(codes, n, seed):
    return np.concatenate(list(resample_weights(codes, n=n, seed=seed)))


def test_every_resample_draws_as_many_groups_as_there_are_and_rows_of_a_group_together():
    codes = group_codes(["p2", "p1", "p2", "p3"], 4)
    w = all_weights(codes, 50, 0)
    np.testing.assert_array_equal(w[:, 0], w[:, 2])
    np.testing.assert_array_equal(w[:, 0] + w[:, 1] + w[:, 3], 3)


def test_the_seed_and_the_grouping_alone_decide_the_draws():
    a = all_weights(group_codes(["x", "y", "z"], 3), 20, 5)
    np.testing.assert_array_equal(a, all_weights(group_codes(["x", "y", "z"], 3), 20, 5))
    assert (a != all_weights(group_codes(["x", "y", "z"], 3), 20, 6)).any()


def test_blocks_do_not_change_the_draws(monkeypatch):
    codes = group_codes(None, 7)
    whole = all_weights(codes, 30, 1)
    monkeypatch.setattr("core.evaluation.bootstrap._MAX_WEIGHTS", 25)
    np.testing.assert_array_equal(all_weights(codes, 30, 1), whole)


@pytest.mark.parametrize("rows", [1, 2, 9, 10])
def test_mean_and_median_equal_numpy_on_the_repeated_rows(rows):
    rng = np.random.default_rng(2)
    x = rng.integers(0, 5, rows).astype(float)  # with ties
    w = all_weights(group_codes(None, rows), 40, 3)
    repeated = [np.repeat(x, row.astype(int)) for row in w]
    np.testing.assert_allclose(mean_statistic(x)(w), [r.mean() for r in repeated])
    np.testing.assert_allclose(median_statistic(x)(w), [np.median(r) for r in repeated])


def test_nan_rows_do_not_count_and_an_empty_resample_is_left_out():
    x = np.array([np.nan, 1.0])
    figure = bootstrap_interval(mean_statistic(x), 2, n=400, seed=0)
    assert (figure.value, figure.low, figure.high) == (1, 1, 1)
    assert 0.6 < figure.resamples / 400 < 0.9  # both draws are the nan row with probability 1/4


def test_the_interval_of_a_mean_matches_its_standard_error():
    x = np.random.default_rng(0).normal(size=900)
    figure = bootstrap_interval(mean_statistic(x), 900, n=2000, seed=1)
    assert (figure.high - figure.low) / 2 == pytest.approx(1.96 / 30, rel=0.1)
    assert figure.low < figure.value < figure.high


def test_grouping_widens_the_interval_of_repeated_rows():
    x = np.repeat(np.random.default_rng(0).normal(size=50), 8)
    alone = bootstrap_interval(mean_statistic(x), 400, n=500, seed=1)
    grouped = bootstrap_interval(mean_statistic(x), 400, groups_N=np.repeat(np.arange(50), 8), n=500, seed=1)
    ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(8), rel=0.15)


def test_errors():
    with pytest.raises(DataError, match="no rows"):
        bootstrap_interval(mean_statistic(np.zeros(0)), 0)
    with pytest.raises(ConfigError, match="level is 95"):
        bootstrap_interval(mean_statistic(np.zeros(3)), 3, level=95)
    with pytest.raises(DataError, match="groups for 3 rows"):
        bootstrap_interval(mean_statistic(np.zeros(3)), 3, groups_N=["a"])
