"""Windows cover every axis, and their weights sum to one at every pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from domains.remote_sensing.predict.windows import Tiling


@st.composite
def tilings(draw):
    window = draw(st.integers(1, 40))
    overlap = draw(st.integers(0, window - 1))
    return Tiling(window, overlap, draw(st.integers(0, overlap // 2)))


@given(tilings(), st.integers(1, 200))
def test_weights_sum_to_one_at_every_pixel_also_at_the_edges(tiling, length):
    total = np.zeros(max(length, tiling.window))
    for start, weights in zip(tiling.starts(length), tiling.weights(length)):
        total[start : start + tiling.window] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(tilings(), st.integers(1, 200))
def test_windows_lie_inside_the_scene_and_step_at_most_by_the_window_without_the_overlap(tiling, length):
    starts = tiling.starts(length)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tiling.window)
    steps = np.diff(starts)
    assert ((steps >= 1) & (steps <= tiling.window - tiling.overlap)).all()


def test_between_regular_windows_the_weight_is_half_a_cosine():
    first, second = Tiling(8, 4).weights(12)
    place = (np.arange(4) + 0.5) / 4
    np.testing.assert_allclose(second[:4], (1 - np.cos(np.pi * place)) / 2, atol=1e-6)
    np.testing.assert_allclose(first[4:], (1 + np.cos(np.pi * place)) / 2, atol=1e-6)
    np.testing.assert_array_equal(first[:4], 1)  # nothing but this window sees the edge of the scene


def test_margins_count_for_nothing_where_a_neighbour_sees_them_and_for_all_at_the_edge():
    first, second = Tiling(10, 6, margin=2).weights(14)
    assert first[:4].tolist() == [1] * 4
    assert first[-2:].tolist() == [0, 0]
    assert second[:2].tolist() == [0, 0]
    assert second[-4:].tolist() == [1] * 4


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ((0, 0), "window: is 0; give pixels, at least 1"),
        ((8, 8), r"overlap: is 8; give pixels from 0 to 7 \(window - 1\)"),
        ((8, -1), "overlap: is -1"),
        ((8, 4, 3), "margin: is 3; neighbours share 4 pixels, so it lies between 0 and 2"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(numbers, fault):
    with pytest.raises(ConfigError, match=fault):
        Tiling(*numbers)
