"""ReactXT through the real commands: pretraining, three tasks that are told, and what a user asks a run for."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("rdkit")

from core.errors import CheckpointError, ConfigError, DataError
from core.hub import SavedModel
from core.training import cli
from domains.molecules import caption, retrosynthesis
from domains.molecules.language.use import Teller, possible, read_candidates
from domains.molecules.reactions.rule_made import RuleMadeReactions

BRIEF = [
    "--data.batch_size", "4", "--trainer.max_steps", "2", "--trainer.log_every", "1", "--trainer.threads", "1",
    "--trainer.progress", "false", "--trainer.validate_every", "2",
]  # fmt: skip
FEW = ["--data.limit", "{train: 20, val: 4, test: 4}"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "reactions"
    RuleMadeReactions(split="train", root=folder, most=80)
    return folder


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("reactxt", "reactxt_single"):
        words = ["--config", name, "--run_dir", str(folder / name), "--data.root", str(root), *BRIEF, *FEW]
        words += ["--data.layout_args.contexts", "8", "--data.layout_args.random", "2", "--evaluation.bootstrap", "5"]
        words += ["--model.init_args.encoders.lm.init_args.lm.init_args.depth", "1"]
        assert cli.main("molecules", "pretrain", words) == 0
    return folder


@pytest.mark.parametrize("name", ["reactxt", "reactxt_single"])
def test_a_pretrained_run_measures_held_out_contexts_and_its_model_is_loaded(name, runs):
    summary = json.loads((runs / name / "summary.json").read_text())
    for figure in ("nats", "nats_unigram", "product_nats", "product_alone_nats", "product_nats_unigram", "accuracy"):
        assert np.isfinite(summary[f"test/context/{figure}"])
    assert summary["data_simulated"] == 1
    assert "made by rule" in summary["data"]
    lines = [json.loads(line) for line in (runs / name / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    saved = SavedModel.from_pretrained(runs / name)
    vector = saved.encoder("context").encode("CC(=O)Oc1ccccc1C(=O)O")
    assert vector.shape == (saved.model.dim,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def finetune(name, runs, root, *more):
    words = ["--config", name, "--from_run", str(runs / "reactxt"), "--run_dir", str(runs / name), *BRIEF, *FEW]
    words += [
        "--bootstrap",
        "5",
        "--data.root",
        str(root),
        "--task.init_args.beams",
        "2",
        "--task.init_args.length",
        "12",
    ]
    assert cli.main("molecules", "finetune", [*words, *more]) == 0
    return json.loads((runs / name / "summary.json").read_text())


@pytest.fixture(scope="module")
def captions(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chebi")
    rows = "".join(f"{i}\t{s}\tThe molecule is number {i}.\n" for i, s in enumerate(["CCO", "CCN", "CCC", "CCCl"]))
    for part in ("train", "validation", "test"):
        (folder / f"{part}.txt").write_text("CID\tSMILES\tdescription\n" + rows)
    return finetune("caption", runs, folder, "--data.layout_args", "{layout: chebi20}")


def test_captions_are_scored_beside_baselines(captions):
    for figure in ("bleu-2", "bleu-4", "rouge-1", "rouge-2", "rouge-l", "meteor_exact", "exact"):
        assert 0 <= captions[f"test/{figure}"] <= 1
    assert captions["test/nearest_neighbour/exact"] == 1  # the test file repeats the training file
    assert 0 < captions["test/most_frequent/meteor_exact"] < 1


def test_procedures_are_scored_beside_baselines(runs, root):
    summary = finetune("procedure", runs, root)
    for figure in ("validity", "similarity>=100", "similarity>=50", "bleu-4", "rouge-l"):
        assert 0 <= summary[f"test/{figure}"] <= 1
    assert 0 <= summary["test/nearest_neighbour/validity"] <= 1
    assert summary["test/nearest_neighbour/similarity>=50"] > 0
    assert summary["test/told"] == 4


@pytest.fixture(scope="module")
def retro(runs, root):
    return finetune("retrosynthesis", runs, root, "--task.init_args.candidates", "4")


def test_reactants_are_told_and_picked_beside_baselines(retro):
    for figure in ("top-1", "top-10", "max_fragment_top-1", "validity", "candidates/top-1", "nearest_neighbour/top-10"):
        assert 0 <= retro[f"test/{figure}"] <= 1
    assert retro["test/candidates/chance/top-1"] == 0.25
    assert retro["test/candidates/chance/top-10"] == 1
    assert retro["test/candidates/top-5"] == 1


def said(monkeypatch, capsys, main, *words):
    monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
    assert cli.guarded(main) == 0
    return capsys.readouterr()


def test_a_run_captions_molecules_and_names_those_it_refuses(captions, runs, monkeypatch, capsys):
    found = said(monkeypatch, capsys, caption.main, "--model", runs / "caption", "--length", 5, "CCO", "C1CC", "CCN")
    assert [line.split("\t")[0] for line in found.out.splitlines()] == ["CCO", "CCN"]
    assert "refused: 'C1CC'" in found.err


def test_a_run_orders_given_candidates_and_tells_reactants(retro, runs, monkeypatch, capsys, tmp_path):
    file = tmp_path / "pool.tsv"
    file.write_text("CCOC(C)=O\tCCO.CC(=O)O\nCCOC(C)=O\tCCN\nCCNC(C)=O\tCCN.CC(=O)O\n")
    run = runs / "retrosynthesis"
    found = said(monkeypatch, capsys, retrosynthesis.main, "--model", run, "--candidates", file)
    rows = [line.split("\t") for line in found.out.splitlines()]
    assert [(row[0], row[1]) for row in rows] == [("CCOC(C)=O", "1"), ("CCOC(C)=O", "2"), ("CCNC(C)=O", "1")]
    assert float(rows[0][3]) >= float(rows[1][3])
    assert {rows[0][2], rows[1][2]} == {"CCO.CC(=O)O", "CCN"}
    told = said(monkeypatch, capsys, retrosynthesis.main, "--model", run, "--length", 5, "--beams", 2, "CCOC(C)=O")
    lines = told.out.splitlines()
    assert len(lines) <= 2
    assert lines or "nothing that was told is a molecule" in told.err


def test_told_reactants_are_molecules_each_once_the_likeliest_first():
    assert possible([("C1CC", -0.5), ("OCC", -1.0), ("CCO", -2.0), ("CCN", -3.0)]) == [("CCO", -1.0), ("CCN", -3.0)]


def test_faults_of_a_user_are_named(retro, runs, tmp_path, monkeypatch, capsys):
    (tmp_path / "pool.tsv").write_text("CCO CC\n")
    with pytest.raises(DataError, match=r"pool\.tsv, line 1: has 1 columns"):
        read_candidates(tmp_path / "pool.tsv")
    with pytest.raises(CheckpointError, match="holds no fine-tuned model"):
        Teller.of(runs / "reactxt")
    monkeypatch.setattr(sys, "argv", ["command", "--model", str(runs)])
    with pytest.raises(ConfigError, match="either products, or --candidates"):
        retrosynthesis.main()
