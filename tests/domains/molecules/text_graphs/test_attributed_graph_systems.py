"""The systems of text graphs through the real command: trained, measured, saved, loaded, asked about another graph."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch_geometric")

import core
from core.config.tree import load_system
from core.hub import SavedModel
from core.training.cli import main

FOLDER = Path(core.__file__).parents[1] / "configs" / "molecules" / "pretrain"
EVERY = sorted(FOLDER.glob("[!_]*.yaml"))
SYSTEMS = [path.stem for path in EVERY if load_system(path)["data"].get("layout") == "ring_graph"]
PROMPT = "domains.molecules.text_graphs.PromptTuning"
FIGURE = "domains.molecules.text_graphs.NodeClassification"
BRIEF = [
    "--trainer.max_steps", "2", "--trainer.validate_every", "1", "--trainer.checkpoint_every", "2", "--data.batch_size",
    "6", "--trainer.threads", "1", "--trainer.log_every", "1", "--data.layout", "text_graph_csv",
    "--data.max_bad_share", "1", "--evaluation.bootstrap", "5", "--evaluation.gallery", "1",
    "--trainer.progress", "false",
]  # fmt: skip


def write_graph(folder, *, classes, seed):
    """36 nodes of 3 classes in a ring, each joined to two of its own class."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    rows, edges, parts = [], [], ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    for c, name in enumerate(classes):
        for i in range(12):
            said = f"It contains {name}." if rng.random() < 0.6 else "It is plain."
            rows.append(f"{name}{i},A {'small' if i % 2 else 'large'} thing. {said},{name},{parts[i]}\n")
            edges += [
                f"{name}{i},{name}{(i + 1) % 12}\n",
                f"{name}{i},{classes[(c + 1) % 3]}{i}\n"[: None if i == 0 else 0],
            ]
    rows.append(f"lonely,,{classes[0]},train\n")
    (folder / "nodes.csv").write_text("id,text,label,split\n" + "".join(rows))
    (folder / "edges.csv").write_text("source,target\n" + "".join(edges))
    structure = rng.random((len(rows), 128)).astype(np.float32)
    structure[:5] = np.nan
    np.save(folder / "features_structure.npy", structure)
    return folder


@pytest.fixture
def root(tmp_path):
    return write_graph(tmp_path / "graph", classes=("nitro", "furan", "ester"), seed=0)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_trains_measures_and_encodes_nodes_of_another_graph(system, root, tmp_path, capsys):
    other = write_graph(tmp_path / "other", classes=("urea", "indole", "alcohol"), seed=1)
    prompt = {"class_path": PROMPT, "init_args": {"shots": 2, "steps": 3, "draws": 2}}
    transfer = {"layout": "text_graph_csv", "layout_args": {"root": str(other)}, "ways": 2, "shots": [1]}
    figures = [{"class_path": FIGURE}, {"class_path": FIGURE, "init_args": transfer}]
    figures += [prompt] if system == "graphclip" else []
    run = tmp_path / "run"
    words = ["--config", system, "--data.root", str(root), "--run_dir", str(run), *BRIEF]
    assert main("molecules", "pretrain", [*words, "--evaluation.figures", json.dumps(figures)]) == 0
    summary = json.loads((run / "summary.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([line["loss"] for line in lines if "loss" in line]).all()
    assert summary["test/nodes/majority"] == pytest.approx(1 / 3)
    for name in ("probe", "own_words_probe", "near_words_probe"):
        assert 0 <= summary[f"test/nodes/{name}_low"] <= summary[f"test/nodes/{name}"] <= 1
    assert summary["test/nodes_of_text_graph_csv/nodes"] == 6
    assert ("test/nodes/zero_shot" in summary) == (system == "graphclip")
    assert ("test/nodes_of_text_graph_csv/zero_shot" in summary) == (system == "graphclip")
    # a node without text is a bad record where text is all there is
    assert summary["records_skipped/train"] == (0 if system == "unigraph2" else 1)
    assert "node classification, probe accuracy" in capsys.readouterr().out
    if system == "unigraph2":
        return
    if system == "graphclip":
        low, mean, high = (summary[f"test/nodes/prompt_2{end}"] for end in ("_low", "", "_high"))
        assert low <= mean <= high
        classifies_another_graph(run, other, tmp_path / "again")
    saved = SavedModel.from_pretrained(run)
    text = '{"texts": ["A small thing. It contains urea.", "It is plain."], "graph": [[0], [1]]}'
    assert saved.encoder("graph").encode(text).shape == (saved.model.dim,)


def classifies_another_graph(run, other, folder):
    """By `evaluate`, of which only the test split is read."""
    words = ["--model", str(run), "--run_dir", str(folder), "--data.root", str(other)]
    words += [
        "--data.layout",
        "text_graph_csv",
        "--data.max_bad_share",
        "1",
        "--data.augment",
        "false",
        "--evaluation.bootstrap",
        "5",
    ]
    words += ["--evaluation.probe", "null", "--evaluation.zero_shot", "false", "--evaluation.retrieval", "false"]
    figures = json.dumps([{"class_path": FIGURE, "init_args": {"ways": 2, "shots": [1]}}])
    assert main("molecules", "evaluate", [*words, "--evaluation.figures", figures]) == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert 0 <= summary["test/nodes/zero_shot"] <= 1
    assert "test/nodes/probe" not in summary


def test_models_and_processors_that_do_not_fit_are_refused_before_training(root, tmp_path, capsys):
    words = ["--config", "unigraph2", "--data.root", str(root), "--run_dir", str(tmp_path / "run"), *BRIEF]
    wrong = ["--data.processors.graph.init_args.modalities", '{"structure": 128, "text": 128}']
    assert main("molecules", "pretrain", [*words, *wrong]) == 2
    assert "in the same order" in capsys.readouterr().err
