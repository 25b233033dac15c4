"""Noisy labels: the entry runs on a few simulated places for a few steps; what its arms share and where they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks import output
from benchmarks.remote_sensing import noisy_labels
from benchmarks.result import Options
from core.errors import ConfigError

pytest.importorskip("rasterio")
pytest.importorskip("segmentation_models_pytorch")
PLACES = {"train": 4, "val": 1, "test": 2}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def design(**changes):
    args = {"places": PLACES, "workers": 0}
    short = {"train_places": 2, "test_places": 1, "steps": 2, "batch_size": 4}
    return noisy_labels.Design(layout_args=args, **(short | changes))


def test_the_entry_runs_and_is_written(tmp_path):
    result = noisy_labels.run(Options(seeds=(0,), folder=tmp_path), design())
    assert {*noisy_labels_arms(), "believed s1", "rest s1", "believed s2", "rest s2"} == set(result.values)
    assert all(0 <= v <= 1 for metrics in result.values.values() for values in metrics.values() for v in values)
    as_json, _ = output.write("remote_sensing", [result], tmp_path)
    assert json.loads(as_json.read_text())["entries"]["noisy_labels"]["claim"] == result.claim


def noisy_labels_arms():
    return {noisy_labels.CROMSS, noisy_labels.PLAIN}


def test_the_plain_arm_has_the_label_terms_without_what_is_known_of_noise():
    system, plain = noisy_labels.system(design())["objectives"], noisy_labels.plain_terms(design())
    assert [t["class_path"].split(".")[-1] for t in system] == ["PixelLabels", "PixelLabels", "PixelAgreement"]
    assert [set(t["init_args"]) for t in plain] == [{"view", "mask"}] * 2
    assert [t["init_args"]["view"] for t in plain] == [t["init_args"]["view"] for t in system[:2]]


def test_seeds_have_places_of_their_own_until_there_are_no_more():
    chosen = [set(noisy_labels.scenes(design(), seed).indices["train"]) for seed in range(3)]
    assert [len(c) for c in chosen] == [8, 8, 8]  # two places, four dates each
    assert not chosen[0] & chosen[1]
    assert chosen[2] == chosen[0]
    with pytest.raises(ConfigError, match="9 places of a seed, the split has 4"):
        noisy_labels.scenes(design(train_places=9), 0)
    assert np.array_equal(sorted(chosen[0] | chosen[1]), np.arange(16))
