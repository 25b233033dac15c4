"""The side-by-side speed measurement: both sides agree, and the figures of the acceptance size hold."""

from __future__ import annotations

import pytest

from benchmarks.speed.contrastive import agreement, compare, table


def test_both_sides_give_the_same_loss_and_gradients():
    pytest.importorskip("open_clip.loss")
    found = agreement(200, 16)
    assert found["float32"] < 1e-6
    assert found["float64"] < 1e-10


@pytest.mark.slow
def test_a_tenth_of_the_memory_and_faster_at_half_the_acceptance_size():
    pytest.importorskip("open_clip.loss")
    result = compare(8192, 512, 2, 3)
    assert result["memory_ratio"] < 0.1
    assert result["speedup_median"] > 1.5
    assert "times as fast" in table(result)
