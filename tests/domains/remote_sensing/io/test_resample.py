"""From one grid to another: closed forms, and no weight for what is missing."""

import numpy as np
import pytest

from core.errors import DataError
from domains.remote_sensing.io.resample import axis_weights, resample

HALF = (0.5, 0.0, 0.0, 0.0, 0.5, 0.0)  # target pixels half as wide
DOUBLE = (2.0, 0.0, 0.0, 0.0, 2.0, 0.0)


@pytest.mark.parametrize("how", ["auto", "nearest", "bilinear", "average"])
@pytest.mark.parametrize(("step", "count"), [(0.5, 12), (1.0, 6), (2.0, 3), (1 / 6, 36)])
def test_weights_of_every_pixel_inside_sum_to_one(how, step, count):
    np.testing.assert_allclose(axis_weights(0.0, step, count, 6, how).sum(axis=1), 1, atol=1e-6)


def test_a_constant_stays_constant_and_a_line_stays_a_line():
    assert np.allclose(resample(np.full((1, 4, 4), 7.0, np.float32), HALF, (8, 8)), 7)
    line = np.arange(8, dtype=np.float32)[None, None, :] * np.ones((1, 8, 1), np.float32)
    finer = resample(line, HALF, (16, 16), "bilinear")[0, 0]
    np.testing.assert_allclose(finer[1:-1], np.arange(16)[1:-1] / 2 - 0.25, atol=1e-6)


def test_the_mean_over_a_footprint_keeps_the_total():
    values = np.random.default_rng(0).random((2, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(
        resample(values, DOUBLE, (3, 3)), values.reshape(2, 3, 2, 3, 2).mean(axis=(2, 4)), rtol=1e-6
    )


def test_missing_pixels_have_no_weight_and_take_over_when_they_are_more_than_half():
    values = np.array([[[1.0, 3.0], [np.nan, 5.0]]], np.float32)
    np.testing.assert_allclose(resample(values, DOUBLE, (1, 1)), 3.0)
    values[0, 0] = np.nan
    assert np.isnan(resample(values, DOUBLE, (1, 1))).all()


def test_beyond_the_source_there_is_nothing():
    shifted = (1.0, 0.0, 3.0, 0.0, 1.0, 0.0)
    out = resample(np.ones((1, 4, 4), np.float32), shifted, (4, 4), "nearest")[0]
    np.testing.assert_array_equal(np.isfinite(out), [[True, False, False, False]] * 4)


def test_turned_grids_are_refused():
    with pytest.raises(DataError, match=r"turned against the other's; warp them"):
        resample(np.ones((1, 4, 4), np.float32), (0.9, 0.1, 0.0, -0.1, 0.9, 0.0), (4, 4))
