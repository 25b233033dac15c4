"""Each entry of the objectives suite runs on a few rows for a few steps, gives finite figures, and is written."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import output
from benchmarks.objectives import (
    ENTRIES,
    cwcl_transfer,
    filip_parts,
    identities,
    multimae_cross_modal,
    oti_retrieval,
    sample_smooth,
    symile_xor,
    tiled_is_dense,
    xbm_drift,
)
from benchmarks.objectives.latents import latent_pairs
from benchmarks.objectives.towers import rows, towers, trained
from benchmarks.result import Options
from core.training.setup import build_model

SHORT = {"train_rows": 48, "test_rows": 24, "steps": 2, "batch_size": 16}
TINY = {
    "symile_xor": SHORT,
    "cwcl_transfer": {**SHORT, "classes": 4},
    "identities": {
        "identities": 12, "test_identities": 8, "pretraining_rows": 40, "pretraining_steps": 2, "steps": 2,
        "batch_identities": 4,
    },
    "sample_smooth": {**SHORT, "steps": 6, "warmup_epochs": 1},
    "filip_parts": {**SHORT, "kinds": 10},
    "slap_gap": {**SHORT, "small_batch": 8},
    "cyclip_consistency": {**SHORT, "classes": 4},
    "multimae_cross_modal": {**SHORT, "width": 12, "heads": 2, "depth": 1},
    "ctp_forgetting": {**SHORT, "queue": 20},
    "hubs": {"rows": 40, "bank": 60, "hubs": 2},
    "oti_retrieval": {
        "classes": 4, "train_rows": 48, "queries": 8, "gallery": 24, "steps": 2, "batch_size": 16, "inversion": 2,
    },
    "xbm_drift": {**SHORT, "interval": 2, "warm_up": 2, "steps": 6},
    "tiled_is_dense": {"batch_size": 20, "first": 7, "contents": 6, "tile": (3, 5)},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_runs_and_is_written(name, tmp_path, capsys):
    module = importlib.import_module(f"benchmarks.objectives.{name}")
    state = torch.random.get_rng_state()
    result = module.run(Options(seeds=(0,), folder=tmp_path), module.Design(**TINY[name]))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert result.name == name
    assert result.simulated
    assert result.comparisons or result.goals
    assert all(np.isfinite(values).all() for metrics in result.values.values() for values in metrics.values())
    as_json, page = output.write("objectives", [result], tmp_path)
    assert json.loads(as_json.read_text())["entries"][name]["claim"] == result.claim
    assert result.claim in page.read_text().replace("&#39;", "'")
    output.show([result])
    assert name in capsys.readouterr().out


def test_the_same_seed_gives_the_same_figures():
    design = sample_smooth.Design(**TINY["sample_smooth"])
    assert sample_smooth.one_seed(1, design) == sample_smooth.one_seed(1, design)


def test_a_copy_of_the_start_goes_on():
    """So that all arms begin with the same weights."""
    (known,) = latent_pairs((32,), seed=0, latent=4, features=6, noise=0.1)
    node = towers({"image": 6, "text": 6}, dim=4)
    start = build_model(node, 0)
    before = {name: x.clone() for name, x in start.state_dict().items()}
    terms = identities.terms(identities.PLAIN)
    first, again = (
        trained(node, terms, rows(known), seed=0, steps=2, batch_size=16, start=start)[0].state_dict() for _ in range(2)
    )
    for name, x in start.state_dict().items():
        torch.testing.assert_close(x, before[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], again[name], rtol=0, atol=0)
    assert any(not torch.equal(first[name], x) for name, x in before.items())


def test_exclusive_or_leaves_every_pair_of_bits_independent():
    bits = symile_xor.sample(4000, seed=0, part=0, xor=True)
    a, b, c = (bits[m].argmax(1) for m in "abc")
    assert torch.equal(c, a ^ b)
    for x, y in ((a, b), (a, c), (b, c)):
        assert abs(float((x == y).double().mean()) - 0.5) < 0.05


def test_a_batch_holds_all_samples_of_its_identities():
    design = identities.Design(**TINY["identities"])
    _, known, _ = identities.sample(design, 0)
    whole = identities.WholeIdentities(rows(known[0]).inputs, {}, {"person": known[1]})
    assert len(whole) == design.identities
    batch = whole.__getitems__([(0, 3), (0, 7)])
    assert sorted(batch.keys["person"].tolist()) == [3] * 4 + [7] * 4
    torch.testing.assert_close(
        batch.inputs["image"].x, known[0]["image"][known[1][:, None].eq(torch.tensor([3, 7])).any(1)]
    )


def test_exactly_the_stated_share_of_pairs_is_shuffled():
    design = sample_smooth.Design(train_rows=50, wrong=0.4)
    order, is_wrong = sample_smooth.shuffled(design, 0)
    assert int(is_wrong.sum()) == 20
    assert torch.equal(order.sort().values, torch.arange(50))


def test_each_word_names_a_part_of_its_own_image():
    design = filip_parts.Design(noise=0.0, kinds=10)
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(design.kinds, design.features, generator=draw)
    bags, partner = filip_parts.sample({"image": table, "text": table}, design, 5, draw)
    named = bags["image"].gather(1, partner[..., None].expand_as(bags["text"]))
    torch.testing.assert_close(named, bags["text"], rtol=0, atol=0)


def test_the_same_patches_are_hidden_whatever_else_is_seen():
    given = multimae_cross_modal.Given(count=2, seed=0)
    real = torch.ones(3, 8, dtype=torch.bool)
    alone, both = (given.draw(dict.fromkeys(names, real), generator=torch.Generator()) for names in ("b", "ab"))
    assert torch.equal(alone["b"].hidden, both["b"].hidden)
    assert alone["b"].visible.sum(1).tolist() == [2, 2, 2]
    assert both["a"].visible.all()


def test_a_caption_differs_from_another_in_its_last_word_only():
    x = oti_retrieval.captions(torch.tensor([0, 5])).x
    assert torch.equal(x[0, :-1], x[1, :-1])
    assert x[:, -1].tolist() == [oti_retrieval.PROMPT, oti_retrieval.PROMPT + 5]


def test_snapshots_are_taken_of_the_model_at_that_step():
    """The vectors at step 0 are those of a fresh model, and the last ones those of the trained model."""
    design = xbm_drift.Design(**TINY["xbm_drift"])
    known, held_out = latent_pairs((48, 24), seed=0, latent=4, features=design.features, noise=0.1)
    asked = rows({"image": held_out["image"]})
    taken = xbm_drift.Snapshots(asked, {0, 4})
    node = xbm_drift.model(design)
    fitted, _ = trained(node, xbm_drift.terms(), rows(known), seed=0, steps=4, batch_size=16, callbacks=[taken])
    for step, model in ((0, build_model(node, 0)), (4, fitted)):
        torch.testing.assert_close(
            taken.at[step], torch.as_tensor(xbm_drift.vectors(model, asked, ["image"]).vectors["image"])
        )


def test_agreement_counts_the_digits_of_the_worst_difference():
    want = [[torch.tensor([1.0, 2.0]).double(), torch.ones(2).double()]]
    off = [[want[0][0] + torch.tensor([0.0, 2e-5]), want[0][1]]]
    assert tiled_is_dense.agreement(off, want) == pytest.approx(5)
    assert tiled_is_dense.agreement(want, want) == tiled_is_dense.MOST


@pytest.mark.parametrize(("arm", "weighted"), [(cwcl_transfer.CWCL, [1, 0]), (cwcl_transfer.TURNED, [0, 1])])
def test_weights_of_the_frozen_modality_are_in_one_direction_only(arm, weighted):
    soft, plain = (term["init_args"] for term in cwcl_transfer.terms(arm, cwcl_transfer.Design()))
    assert (soft["directions"], plain["directions"]) == (weighted, weighted[::-1])
    assert "target" not in plain


def test_a_suite_without_long_entries_runs_from_the_command_line(tmp_path, capsys):
    assert command.main(["objectives", "--only", "hubs", "--seeds", "0", "--out", str(tmp_path)]) == 0
    assert "hubs: 1 seeds" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["entries"]["hubs"]["seeds"] == [0]
