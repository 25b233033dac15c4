"""The entries on adaptation and on a new sensor, on a few rows; the commands of the first are stood in for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks.remote_sensing import new_sensor, summit_adaptation, summit_shift
from benchmarks.remote_sensing._vectors import CaptionSpace, english, standardised
from benchmarks.result import Options

pytest.importorskip("rasterio", reason="the remote_sensing extra is not installed")


def test_the_adaptation_entry_runs_two_sources_and_one_target_per_seed_and_reads_their_figures(tmp_path):
    """`start` is what launches a command: here it writes the figures that one would."""
    commands = []

    def start(arguments, log):
        commands.append(arguments)
        folder = tmp_path / log.name.removesuffix(".log")
        folder.mkdir()
        numbers = {f"test/{s}/mean_iou": 0.5 for s in ("s1+s2", "s1", "s2")}
        numbers |= {f"test/unadapted/{s}/mean_iou": 0.4 for s in ("s1+s2", "s1", "s2")}
        (folder / "summary.json").write_text(json.dumps(numbers))
        return 0

    result = summit_adaptation.run(Options(seeds=(0, 1), folder=tmp_path), start=start)
    assert result.values["adapted"]["s1+s2/mean_iou"] == (0.5, 0.5)
    assert result.values["source models"]["s1/mean_iou"] == (0.4, 0.4)
    assert len(commands) == 6
    source, target = commands[0], commands[2]
    assert json.loads(source[source.index("--data.layout_args") + 1])["dates"] == [2]
    assert json.loads(target[target.index("--data.layout_args") + 1])["dates"] == [0]
    assert target[target.index("--towers.s1") + 1].endswith("s1-seed0")
    assert result.simulated


TINY = new_sensor.Design(
    places={"train": 8, "val": 1, "test": 4}, dates=(2,), features=8, text_width=4, rank=2, projector_steps=2,
    hypernet_steps=2, batch_size=5, shots=(3,), steps=2, support=2,
)  # fmt: skip


def test_the_new_sensor_entry_gives_every_arm_a_figure_and_leaves_the_random_state_alone(tmp_path):
    state = torch.random.get_rng_state()
    result = new_sensor.run(Options(seeds=(0,), folder=tmp_path), TINY)
    assert torch.equal(torch.random.get_rng_state(), state)
    arms = {
        new_sensor.SCRATCH,
        new_sensor.TUNED,
        new_sensor.LORA,
        new_sensor.WRITTEN,
        new_sensor.SEMI,
        new_sensor.RIDGE,
    }
    assert set(result.values) == arms
    assert all(0 <= v <= 1 for m in result.values.values() for values in m.values() for v in values)
    json.dumps(result.config)


def test_the_share_of_worse_scenes_is_one_for_a_perfect_order_and_a_half_for_none():
    eye = torch.eye(5)
    assert new_sensor.rank_share(eye, eye) == 1
    assert new_sensor.rank_share(torch.ones(5, 3), torch.ones(5, 3)) == 0.5
    assert new_sensor.rank_share(-eye, eye) == 0


def test_ridge_is_the_least_squares_map_with_a_penalty():
    rng = torch.Generator().manual_seed(0)
    item, text = torch.randn(20, 4, generator=rng), torch.randn(20, 3, generator=rng)
    found = new_sensor.ridge(new_sensor.Few(item, text, 0, TINY), TINY)
    x, y = (v / v.norm(dim=1, keepdim=True) for v in (item, text))
    stacked = np.vstack([x.numpy(), np.eye(4)]), np.vstack([y.numpy(), np.zeros((4, 3))])
    expected = np.linalg.lstsq(*stacked, rcond=None)[0]
    np.testing.assert_allclose(found(item).numpy(), x.numpy() @ expected, atol=1e-5)


def test_captions_are_english_and_their_space_is_that_of_the_fitted_ones():
    assert english("de\tEin See.\nen\tA lake.\nen\tWater.") == "A lake."
    captions = ["a lake and trees", "a town by a lake", "fields", "trees and fields", "a town"]
    space = CaptionSpace(captions, width=3, seed=0)
    assert space(["a lake"]).shape == (1, 3)
    assert torch.equal(space(captions)[:1], space(captions[:1]))
    a, b = standardised(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]]))
    assert b.item() == 0
    assert a.mean().item() == 0


def test_the_shift_entry_compares_every_labeller_with_the_source_models(tmp_path):
    design = summit_shift.Design(tiles=4, side=12, batch_size=2, steps=2, adapt_steps=2, width=8)
    state = torch.random.get_rng_state()
    result = summit_shift.run(Options(seeds=(0, 1), folder=tmp_path), design)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert set(result.values) == {summit_shift.BEFORE, *summit_shift.LABELLERS}
    assert all(0 <= v <= 1 for m in result.values.values() for values in m.values() for v in values)
    assert summit_shift.one_seed(1, design) == {
        arm: {name: values[1] for name, values in metrics.items()} for arm, metrics in result.values.items()
    }


def test_scenes_are_labelled_patches_and_the_target_is_calibrated_otherwise():
    design = summit_shift.Design(tiles=4, side=12, batch_size=2, width=8)
    rng = torch.Generator().manual_seed(0)
    world = {m: torch.randn(design.classes, c, generator=rng) for m, c in summit_shift.BANDS.items()}
    data = summit_shift.scenes(world, design, rng, shifted=False)
    assert torch.equal(data.masks["label"][:, :3, :3], data.masks["label"][:, :1, :1].expand(-1, 3, 3))
    shown = data.inputs["radar"].x.mean((0, 2, 3))
    shifted = summit_shift.scenes(world, design, rng, shifted=True)
    assert shifted.inputs["radar"].x.shape == (4, 2, 12, 12)
    assert not torch.allclose(shifted.inputs["radar"].x.mean((0, 2, 3)), shown, atol=1e-3)
