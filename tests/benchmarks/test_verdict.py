"""Effect and verdict against closed forms."""

from __future__ import annotations

import math

import pytest

from benchmarks.verdict import effect, spread
from core.errors import ConfigError, DataError

T_2 = 4.302652729749464  # 97.5% quantile of Student's t with 2 degrees of freedom (tables)


def test_spread_of_one_two_three():
    s = spread([1.0, 2.0, 3.0])
    assert (s.mean, s.std) == (2.0, 1.0)  # deviations -1, 0, 1; ddof 1
    assert s.high == pytest.approx(2 + T_2 / math.sqrt(3))
    assert s.low == pytest.approx(2 - T_2 / math.sqrt(3))


def test_two_values_give_the_interval_of_a_cauchy_quantile():
    s = spread([0.0, 2.0])  # t with 1 degree of freedom is Cauchy: quantile tan(0.475 pi)
    assert s.high - s.mean == pytest.approx(math.tan(0.475 * math.pi) * math.sqrt(2) / math.sqrt(2), rel=1e-6)


def test_the_difference_is_paired():
    # equal differences of 0.1 under deviations of 10: pairing takes the seeds' own level out
    found = effect([10.1, 20.1, 30.1], [10.0, 20.0, 30.0])
    assert found.difference.mean == pytest.approx(0.1)
    assert found.difference.std == pytest.approx(0, abs=1e-12)
    assert found.verdict == "reproduced"
    assert found.excludes_zero


@pytest.mark.parametrize(
    ("mean", "verdict"), [(1.01, "reproduced"), (0.99, "not reproduced"), (-1.5, "not reproduced")]
)
def test_the_margin_is_one_standard_deviation(mean, verdict):
    differences = [mean - 1, mean, mean + 1]  # deviation exactly 1
    found = effect(differences, [0.0] * 3)
    assert found.verdict == verdict
    assert not found.excludes_zero  # it would take 2.48 deviations


def test_the_interval_excludes_zero_beyond_t_over_root_n():
    edge = T_2 / math.sqrt(3)
    for mean, excluded in ((edge + 0.01, True), (edge - 0.01, False)):
        assert effect([mean - 1, mean, mean + 1], [0.0] * 3).excludes_zero is excluded


def test_lower_is_better_mirrors_higher_is_better():
    a, b = [1.0, 1.2, 0.9], [2.0, 2.5, 2.2]
    up, down = effect(b, a), effect(a, b, better="lower")
    assert up.verdict == down.verdict == "reproduced"
    assert up.excludes_zero is down.excludes_zero
    assert up.difference.mean == -down.difference.mean


def test_equal_arms_are_no_effect():
    assert effect([0.5, 0.7], [0.5, 0.7]).verdict == "not reproduced"


def test_one_seed_decides_nothing():
    found = effect([1.0], [0.0])
    assert found.verdict == "undecided"
    assert math.isnan(found.difference.std)
    assert not found.excludes_zero


def test_faults_are_named():
    with pytest.raises(DataError, match=r"value 2 of 3 is nan; every seed"):
        spread([0.1, math.nan, 0.2])
    with pytest.raises(DataError, match="there is no value"):
        spread([])
    with pytest.raises(DataError, match=r"3 and 2 values; both arms need the same seeds"):
        effect([1, 2, 3], [1, 2])
    with pytest.raises(ConfigError, match=r"margin is -1"):
        effect([1, 2], [1, 2], margin=-1)
    with pytest.raises(ConfigError, match=r"level is 1"):
        spread([1, 2], level=1)
