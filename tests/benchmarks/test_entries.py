"""Each entry runs on a few rows for a few steps, gives finite figures, and is written as table, JSON and page."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks import output
from benchmarks.harness import Rows, image_input, train
from benchmarks.medical import ENTRIES, convirt_probe, duplicate_captions, m3ae_mask_ratio
from benchmarks.medical.shapes import pictures
from benchmarks.result import Options
from core.config.schema import OptimSettings
from core.data.text import TextProcessor
from core.errors import ConfigError
from core.objectives import Step
from core.training.setup import build_model, build_objective

TINY = {
    "convirt_probe": {"train_rows": 64, "test_rows": 64, "fraction": 1.0, "steps": 2, "batch_size": 16},
    "duplicate_captions": {"train_rows": 48, "test_rows": 72, "steps": 2, "batch_size": 24},
    "template_captions": {"train_rows": 48, "test_rows": 36, "steps": 2, "batch_size": 24},
    "m3ae_mask_ratio": {"train_rows": 64, "test_rows": 64, "fraction": 1.0, "steps": 2, "batch_size": 16},
    "m3ae_middle_layer": {"train_rows": 64, "test_rows": 32, "steps": 2, "batch_size": 16},
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_runs_and_is_written(name, tmp_path, capsys):
    module = importlib.import_module(f"benchmarks.medical.{name}")
    seeds = (0, 1) if name == "m3ae_mask_ratio" else (0,)
    state = torch.random.get_rng_state()
    result = module.run(Options(seeds=seeds, folder=tmp_path), module.Design(**TINY[name]))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert result.name == name
    assert result.simulated
    assert result.comparisons
    for metrics in result.values.values():
        for values in metrics.values():
            assert len(values) == len(seeds)
            assert np.isfinite(values).all()
    as_json, page = output.write("medical", [result], tmp_path)
    entry = json.loads(as_json.read_text())["entries"][name]
    assert entry["seeds"] == list(seeds)
    assert entry["config"]["design"]["steps"] == 2
    assert entry["comparisons"][0]["verdict"] in ("reproduced", "not reproduced", "undecided")
    html = page.read_text()
    assert html.index("SIMULATED DATA") < html.index("<h1>")
    assert result.claim in html.replace("&#39;", "'")
    output.show([result])
    assert name in capsys.readouterr().out


def test_the_same_seed_gives_the_same_figures(tmp_path):
    design = m3ae_mask_ratio.Design(**TINY["m3ae_mask_ratio"])
    first, again = (m3ae_mask_ratio.one_seed(1, design) for _ in range(2))
    assert first == again


def test_training_is_the_training_modules_step():
    """One step of AdamW at a constant rate, without decay: its closed form."""
    rows = Rows({"image": image_input(np.random.default_rng(0).normal(size=(8, 32, 32)).astype(np.float32))}, {}, {})
    model = build_model(m3ae_mask_ratio.model_node(), 0)
    objective = build_objective(m3ae_mask_ratio.objective_nodes(0.75), 0)
    stem = next(model.encoders["picture"].stem.parameters())
    before = stem.detach().clone()
    optim = OptimSettings(lr=1e-3, weight_decay=0.0, warmup=0.0, schedule="constant", eps=1e-12)
    train(model, objective, rows, steps=1, batch_size=8, optim=optim, seed=0)
    moved = (stem.detach() - before).abs()
    # the first step of Adam moves every weight by lr * sign(gradient); a few gradients are as small as eps
    torch.testing.assert_close(moved, torch.full_like(moved, 1e-3), rtol=0.01, atol=1e-6)


def test_one_hot_and_multi_positive_have_equal_gradients_where_copies_are_exact():
    """sum_k [-z_k + lse] over the c copies of a row = sum_k [-(1/c) sum_l z_l + lse]."""
    words = TextProcessor(vocab_size=400, max_length=32)
    words.fit([duplicate_captions.caption(s, 0) for s in range(6)])
    rows = duplicate_captions.as_rows(pictures(24, seed=0, shapes=6), words, 1)
    loss, gradient = {}, {}
    for arm in duplicate_captions.TARGETS:
        model = build_model(convirt_probe.model_node(), 0)
        objective = build_objective(duplicate_captions.objective_nodes(arm), 0)
        step = Step(model=model, batch=rows.batch(np.arange(24)), index=0, generator=torch.Generator())
        value, _ = objective(step)
        value.backward()
        loss[arm] = value.item()
        gradient[arm] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    plain, masked, shared = (gradient[arm] for arm in duplicate_captions.TARGETS)
    assert loss["one-hot"] == pytest.approx(loss["multi-positive"], rel=1e-6)
    torch.testing.assert_close(plain, shared, rtol=1e-3, atol=1e-5)
    assert (plain - masked).norm() > 0.05 * plain.norm()


def test_galleries_hold_as_many_of_each_class():
    kind = np.array([0, 1, 2] * 25)
    found = duplicate_captions.galleries(kind)
    assert found.shape == (2, 30)
    assert all(np.bincount(kind[rows]).tolist() == [10, 10, 10] for rows in found)
    assert len(np.unique(found)) == found.size
    with pytest.raises(ConfigError, match="27 rows hold no gallery of 10 per class"):
        duplicate_captions.galleries(np.array([0, 1, 2] * 9))
