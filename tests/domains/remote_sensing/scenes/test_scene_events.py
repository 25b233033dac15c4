"""Land cover that changes for good in simulated scenes, and the layout of pairs of dates."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import ConfigError
from domains.remote_sensing.data.changes import SyntheticChanges
from domains.remote_sensing.data.samples import SyntheticScenes
from domains.remote_sensing.io.labels import read_label_map
from domains.remote_sensing.scenes import simulate
from domains.remote_sensing.scenes.classes import CLASSES, SNOW, WATER

SIZE = 48
SEASONAL = (SNOW, WATER)  # snow and floods come and go


@pytest.fixture(scope="module")
def scenes():
    return [simulate(seed, size=SIZE, events=True) for seed in range(12)]


def test_some_places_change_and_the_change_stays(scenes):
    changed = [s for s in scenes if s.event]
    assert 3 <= len(changed) <= 11
    for scene in scenes:
        assert not scene.changed_THW[: scene.when].any()
        for t in range(scene.when, 4):
            assert np.array_equal(scene.changed_THW[t], scene.changed_THW[3])
        assert (scene.when == 4) == (scene.event == "")


def test_labels_and_pictures_show_the_change(scenes):
    for scene in (s for s in scenes if s.event):
        region = scene.changed_THW[3]
        assert region.mean() >= 0.01
        before, after = scene.clean_THW[0][region], scene.clean_THW[scene.when][region]
        shown = ~np.isin(before, SEASONAL) & ~np.isin(after, SNOW)
        assert (before != after)[shown].all()


def test_a_place_without_an_event_is_the_same_place(scenes):
    seed = next(i for i, s in enumerate(scenes) if not s.event)
    plain = simulate(seed, size=SIZE)
    assert np.array_equal(plain.reflectance_TCHW, scenes[seed].reflectance_TCHW, equal_nan=True)
    assert np.array_equal(plain.radar_TPHW, scenes[seed].radar_TPHW, equal_nan=True)
    changed = next(i for i, s in enumerate(scenes) if s.event)
    first = simulate(changed, size=SIZE)
    assert np.array_equal(first.clean_THW[0], scenes[changed].clean_THW[0])
    assert not simulate(changed, size=SIZE).changed_THW.any()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("changes") / "data"
    SyntheticChanges(split="train", root=root, places={"train": 4, "val": 1, "test": 1}, size=SIZE, workers=0)
    return root


def test_pairs_of_dates_and_their_masks(folder):
    pairs = SyntheticChanges(split="train", root=folder)
    assert len(pairs) == 8
    for record in pairs:
        first, last = map(int, record.id.rpartition("/")[2].split("-"))
        assert set(record.sources) == {"s1", "s2", "s1_before", "s2_before"}
        assert record.sources["s2"].time > record.sources["s2_before"].time
        mask = read_label_map(record.masks["change"]).labels_HW
        when = pairs._when[record.group]
        assert mask.any() == (first < when <= last)
        assert set(np.unique(mask)) <= {0, 1}


def test_impossible_pairs_are_refused(folder):
    with pytest.raises(ConfigError, match="earlier, later"):
        SyntheticChanges(split="train", root=folder, pairs=((2, 1),))


def test_the_main_class_is_what_covers_most(folder):
    main = SyntheticScenes(split="train", root=folder, labels="main")
    for record in main:
        labels = read_label_map(record.masks["clean"]).labels_HW
        chosen = [name for name, value in record.labels.items() if value == 1]
        assert chosen == [CLASSES[int(np.bincount(labels.ravel(), minlength=9).argmax())]]
