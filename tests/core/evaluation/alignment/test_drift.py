"""Telephone game: closed forms. Legend: G = generations, N = items, E = width."""

import math

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from core.evaluation.alignment import (
    Curve,
    Detection,
    Wanted,
    decay_fit,
    generations,
    multi_generation_accuracy,
    relations,
    semantic_drift,
    shows,
    similarity_curve,
)


def test_the_starts_modality_returns_at_even_generations():
    np.testing.assert_array_equal(generations(last=6, same_modality=True), [2, 4, 6])
    np.testing.assert_array_equal(generations(last=6, same_modality=False), [1, 3, 5])
    with pytest.raises(ConfigError, match="at least 1"):
        generations(last=0, same_modality=True)


def test_a_model_that_changes_nothing_has_mcd_one_and_no_decay():
    start = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    chain = torch.stack([start * scale for scale in (1.0, 2.0, 0.5, 3.0)])
    curve = similarity_curve(start, chain, [1, 2, 3, 4])
    found = semantic_drift({"text-text": curve, "image-image": curve})
    assert found.overall == pytest.approx(1, abs=1e-6)
    assert found.mean_decay.rate == pytest.approx(0, abs=1e-6)


def test_the_curve_is_the_mean_cosine_to_the_own_start():
    rng = torch.Generator().manual_seed(1)
    start, chain = torch.randn(4, 3, generator=rng), torch.randn(2, 4, 3, generator=rng)
    expected = torch.nn.functional.cosine_similarity(chain, start[None], dim=2).mean(1)
    np.testing.assert_allclose(similarity_curve(start, chain, [2, 4]).similarity, expected, atol=1e-6)


@pytest.mark.parametrize(("a", "b", "c"), [(0.6, 0.3, 0.3), (0.2, 0.05, 0.5), (-0.3, 0.4, 0.9)])
def test_the_fit_recovers_a_decay(a, b, c):
    g = np.arange(1.0, 21.0)
    found = decay_fit(Curve(g, a * np.exp(-b * g) + c))
    assert (found.amplitude, found.rate, found.level) == pytest.approx((a, b, c), abs=1e-4)


@pytest.mark.parametrize("level", [1.0, 0.4, 0.0, -0.2])
def test_flat_curves_do_not_fail(level):
    found = decay_fit(Curve(np.arange(1.0, 11.0), np.full(10, level)))
    assert (found.amplitude, found.rate, found.level) == (0, 0, pytest.approx(level))


@pytest.mark.parametrize("seed", range(5))
def test_nearly_flat_straight_and_rising_curves_give_a_rate_of_at_least_zero(seed):
    g = np.arange(1.0, 21.0)
    noise = np.random.default_rng(seed).normal(0, 1e-3, 20)
    for curve in (0.5 + noise, 0.9 - 0.02 * g + noise, 0.4 + 0.02 * g + noise):
        found = decay_fit(Curve(g, curve))
        assert found.rate >= 0
        fitted = found.amplitude * np.exp(-found.rate * g) + found.level
        assert np.abs(fitted - curve).mean() < 0.03


def test_the_overall_figures_are_means_over_settings():
    g = np.arange(1.0, 11.0)
    found = semantic_drift({"a": Curve(g, 0.5 * np.exp(-0.2 * g) + 0.4), "b": Curve(g, 0.3 * np.exp(-0.6 * g) + 0.1)})
    assert found.overall == pytest.approx(np.mean(list(found.mean_similarity.values())))
    assert found.mean_decay.rate == pytest.approx(0.4, abs=1e-3)
    with pytest.raises(DataError, match="three parameters"):
        decay_fit(Curve(g[:2], g[:2]))
    with pytest.raises(DataError, match="no settings"):
        semantic_drift({})


def box(x, y, size=10.0, scale=1.0):
    return tuple(scale * v for v in (x, y, x + size, y + size))


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_positions_do_not_depend_on_the_resolution(scale):
    """The released rule compares offsets in pixels with 0.5, which nearly every offset of a large image exceeds."""
    cup, dog = Detection("cup", box(0, 0, scale=scale)), Detection("dog", box(100, 8, scale=scale))
    assert relations(cup, dog) == {"left of"}  # 8 of 100 down is within the slack, and no direction
    assert relations(dog, cup) == {"right of"}
    assert relations(cup, Detection("dog", box(100, 100, scale=scale))) == {"left of", "above"}
    assert relations(cup, Detection("dog", box(1, 1, scale=scale))) == set()


def test_relations_by_angle():
    middle = Detection("a", box(0, 0, size=1e-3))
    for degrees, expected in ((0, {"left of"}), (20, {"left of"}), (45, {"left of", "above"}), (80, {"above"})):
        angle = math.radians(degrees)
        other = Detection("b", box(100 * math.cos(angle), 100 * math.sin(angle), size=1e-3))
        assert relations(middle, other) == expected, degrees


def test_a_scene_shows_its_prompt_or_not():
    seen = [
        Detection("cup", box(0, 0), score=0.9, color="red"),
        Detection("cup", box(300, 0), score=0.3, color="blue"),
        Detection("dog", box(100, 0), score=0.8),
    ]
    assert shows(seen, [Wanted("cup"), Wanted("dog")])
    assert shows(seen, [Wanted("cup", count=2, exact=True)])
    assert not shows(seen, [Wanted("cup", count=3)])
    assert not shows(seen, [Wanted("cup", exact=True)])
    assert shows(seen, [Wanted("cup", color="red")])
    assert not shows(seen, [Wanted("cup", color="blue")])  # the most confident cup is red
    assert shows(seen, [Wanted("dog"), Wanted("cup", relation="left of", to=0)])
    assert not shows(seen, [Wanted("dog"), Wanted("cup", count=2, relation="left of", to=0)])
    assert not shows([], [Wanted("cup")])
    with pytest.raises(ConfigError, match="of an object listed before it"):
        shows(seen, [Wanted("cup", relation="left of", to=0)])


def test_mgg_is_the_mean_over_generations_of_all_prompts():
    cup, none = [Detection("cup", box(0, 0))], []
    wanted = [[Wanted("cup")], [Wanted("cup")], [Wanted("dog")]]
    overall, by_generation = multi_generation_accuracy({1: [cup, cup, none], 3: [cup, none, none]}, wanted)
    assert by_generation == {1: pytest.approx(2 / 3), 3: pytest.approx(1 / 3)}
    assert overall == pytest.approx(0.5)
    with pytest.raises(DataError, match="generation 3: 1 images for 3 prompts"):
        multi_generation_accuracy({3: [cup]}, wanted)
    with pytest.raises(DataError, match="no generation"):
        multi_generation_accuracy({}, wanted)
