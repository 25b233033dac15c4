"""Few-shot episodes: certain answers, chance, and what is refused."""

import numpy as np
import pytest

from core.errors import ConfigError
from core.evaluation.episodes import episode_accuracy


def test_classes_that_lie_apart_are_always_told_and_noise_is_at_chance():
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(6), 30)
    apart = np.eye(6)[label] + 0.01 * rng.normal(size=(180, 6))
    found = episode_accuracy(apart, label, ways=4, shots=1, queries=5, episodes=20)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    noise = episode_accuracy(rng.normal(size=(180, 6)), label, ways=4, shots=3, queries=5, episodes=400)
    assert abs(noise.value - 0.25) < 0.04  # the rows are few and shared by the episodes


def test_unknown_labels_are_never_drawn_and_lengths_do_not_matter():
    label = np.array([0] * 8 + [1] * 8 + [-1] * 20)
    x = np.concatenate([np.tile([1.0, 0], (8, 1)), np.tile([0, 5.0], (8, 1)), np.tile([-1.0, 0.1], (20, 1))])
    assert episode_accuracy(x, label, ways=2, shots=2, queries=3, episodes=5).value == 1.0
    with pytest.raises(ConfigError, match="2 classes have 5 rows or more; 3 are needed"):
        episode_accuracy(x, label, ways=3, shots=2, queries=3)
