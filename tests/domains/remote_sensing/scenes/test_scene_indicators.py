"""Simulated indicators follow from the scene: by hand without noise, and with the noise that is stated."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from domains.remote_sensing.scenes.classes import BUILT, CROPS, TREES
from domains.remote_sensing.scenes.indicators import INDICATORS, NOISE, indicators
from domains.remote_sensing.scenes.scene import simulate


class Still:
    """A generator whose normal numbers are all 0."""

    def normal(self, mean, deviation):
        return 0.0


def cover(classes, height=0.0, garden=0.0):
    classes_HW = np.asarray(classes, np.uint8)
    full = np.ones(classes_HW.shape, np.float32)
    return SimpleNamespace(classes_HW=classes_HW, building_HW=full * height, garden_HW=full * garden)


def test_a_quarter_of_three_storeys_by_hand():
    found = indicators(Still(), cover([[BUILT, TREES], [CROPS, TREES]], height=9.0, garden=0.2))
    people = 0.25 * 3 * 0.8 * 1e6 / 60
    assert found["simulated_population"] == pytest.approx(people, rel=1e-6)
    assert found["simulated_carbon"] == pytest.approx(4 * people + 6000 * 0.25 + 250 * 0.25, rel=1e-6)
    assert found["simulated_night_light"] == pytest.approx(0.3 + 60 * (1 - math.exp(-1.5)))


def test_where_nothing_is_built_nobody_lives():
    found = indicators(np.random.default_rng(0), cover(np.full((4, 4), TREES), height=9.0))
    assert found["simulated_population"] == found["simulated_carbon"] == 0
    assert 0 < found["simulated_night_light"] < 1


def test_the_noise_is_log_normal_with_the_stated_deviation():
    rng, one = np.random.default_rng(0), cover([[BUILT, CROPS]], height=6.0)
    drawn = [indicators(rng, one) for _ in range(2000)]
    for name in INDICATORS:
        logs = np.log([values[name] for values in drawn])
        assert logs.std() == pytest.approx(NOISE[name], rel=0.06)
        assert logs.mean() == pytest.approx(math.log(indicators(Still(), one)[name]), abs=0.02)


def test_a_scene_has_them_and_they_are_its_own():
    scene = simulate(1, size=24)
    assert set(scene.indicators) == set(INDICATORS)
    assert simulate(1, size=24).indicators == scene.indicators
    assert simulate(2, size=24).indicators != scene.indicators
