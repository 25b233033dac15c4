"""Transforms from matches with outliers, and the refusal to make one of nothing."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from core.errors import ConfigError
from core.evaluation.registration import corner_error, transformed
from domains.remote_sensing.registration.fit import NoConsensusError, fit_transform, log10_false_alarms

TRUTH = {
    "shift": np.array([[1, 0, 12.5], [0, 1, -7.25], [0, 0, 1]]),
    "similarity": np.array([[1.02, -0.05, 3], [0.05, 1.02, -8], [0, 0, 1]]),
    "affine": np.array([[1.03, 0.04, -6], [-0.02, 0.97, 11], [0, 0, 1]]),
    "homography": np.array([[1.03, 0.04, -6], [-0.02, 0.97, 11], [2e-4, -1e-4, 1]]),
}


def matches(model, outliers, count=150, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    source = rng.uniform(0, 256, (count, 2))
    target = transformed(TRUTH[model], source) + rng.normal(0, noise, (count, 2))
    wrong = rng.random(count) < outliers
    target[wrong] = rng.uniform(0, 256, (int(wrong.sum()), 2))
    return source, target, wrong


@pytest.mark.parametrize("model", TRUTH)
def test_a_known_transform_is_recovered_with_two_fifths_of_outliers(model):
    source, target, wrong = matches(model, 0.4)
    fit = fit_transform(source, target, model=model, threshold=1.5, reach=256)
    assert corner_error(fit.matrix_33, TRUTH[model], (256, 256)) < 0.5
    assert (fit.inliers_N & wrong).sum() <= 2
    assert fit.inliers_N[~wrong].mean() > 0.95
    assert fit.rms == pytest.approx(0.3 * math.sqrt(2), rel=0.2)
    assert fit.log10_chance < -50


def test_exact_matches_are_fitted_exactly():
    source, target, _ = matches("affine", 0, noise=0)
    fit = fit_transform(source, target, reach=256)
    np.testing.assert_allclose(fit.matrix_33, TRUTH["affine"], atol=1e-8)
    assert fit.share == 1


@pytest.mark.parametrize("model", ["shift", "affine"])
@pytest.mark.parametrize("seed", range(4))
def test_unrelated_pictures_give_an_error_and_no_identity(model, seed):
    source, target, _ = matches("shift", 1.0, seed=seed)
    with pytest.raises(NoConsensusError, match=r"chance gives too|no .* fits"):
        fit_transform(source, target, model=model, threshold=2.0, reach=256, what="a.tif and b.tif")


def test_too_few_matches_are_counted():
    with pytest.raises(NoConsensusError, match=r"a and b: 3 matches were found, a affine needs more than 3"):
        fit_transform(np.zeros((3, 2)), np.zeros((3, 2)), what="a and b")
    with pytest.raises(NoConsensusError, match="0 matches"):
        fit_transform(np.zeros((0, 2)), np.zeros((0, 2)), model="shift")


def test_a_mirror_image_is_no_correction():
    source = np.random.default_rng(0).uniform(0, 200, (60, 2))
    with pytest.raises(NoConsensusError):
        fit_transform(source, source * [-1, 1] + [200, 0], reach=200)


def test_false_alarms_by_hand():
    # 5 of 10 matches fit a shift: q = pi 2^2 / 128^2, 10 hypotheses, each of 9 others counted
    q = math.pi * 4 / 128**2
    expected = math.log10(9 * 10 * binom.sf(3, 9, q))
    assert log10_false_alarms(5, 10, 1, 2.0, 64.0) == pytest.approx(expected)
    assert log10_false_alarms(3, 10, 3, 2.0, 64.0) == math.inf
    assert math.isfinite(log10_false_alarms(20_000, 20_000, 3, 1.0, 256.0))


def test_equal_seeds_give_equal_fits():
    source, target, _ = matches("affine", 0.5)
    a, b = (fit_transform(source, target, reach=256, seed=7).matrix_33 for _ in range(2))
    assert np.array_equal(a, b)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="valid: shift, similarity, affine, homography"):
        fit_transform(np.zeros((9, 2)), np.zeros((9, 2)), model="spline")
    with pytest.raises(ConfigError, match="below reach"):
        fit_transform(np.zeros((9, 2)), np.zeros((9, 2)), threshold=5, reach=4)
