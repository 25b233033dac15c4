"""Knowledge graphs through the real command: trained, ranked, saved, loaded, evaluated again; faults of a user."""

import json

import numpy as np
import pytest
from kg_files import TEST, TRAIN, VALID, write_graph

from core.training.cli import main
from domains.molecules.kg.ranking import LinkRanking

BRIEF = [
    "--trainer.max_steps", "2", "--trainer.validate_every", "1", "--trainer.checkpoint_every", "2", "--data.batch_size",
    "3", "--trainer.threads", "1", "--data.layout", "triples", "--data.max_bad_share", "1",
    "--evaluation.bootstrap", "5",
]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    folder = write_graph(tmp_path / "graph", test=[*TEST, ("zz", "likes", "a")])
    (folder / "entity2text.txt").write_text("a\tred apple\nb\tpear\n")
    return folder


@pytest.mark.parametrize("name", ["complex", "hypercomplex_kg"])
def test_a_run_ranks_and_the_saved_model_ranks_the_same(name, root, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["--config", name, "--data.root", str(root), "--run_dir", str(run), *BRIEF]
    assert main("molecules", "pretrain", words) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert 0 < summary["test/links/mrr"] <= 1
    assert summary["test/links/mrr_low"] <= summary["test/links/mrr"] <= summary["test/links/mrr_high"]
    assert summary["test/links/questions"] == 4
    assert summary["records_skipped/test"] == 1  # the triple with an entity that training does not hold
    assert "link prediction, filtered MRR" in capsys.readouterr().out
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("val/links/mrr" in line for line in lines)
    again = ["--model", str(run), "--run_dir", str(tmp_path / "again"), "--data.root", str(root)]
    again += ["--data.layout", "triples", "--data.on_bad_record", "skip", "--data.max_bad_share", "1"]
    again += ["--data.augment", "false", "--evaluation.probe", "null", "--evaluation.bootstrap", "5"]
    assert main("molecules", "evaluate", again) == 0
    second = json.loads((tmp_path / "again" / "summary.json").read_text())
    for figure in ("mrr", "hits@10", "mean_rank"):
        assert second[f"test/links/{figure}"] == summary[f"test/links/{figure}"]


def test_a_model_that_is_too_small_says_how_large_it_has_to_be(root, tmp_path, capsys):
    words = ["--config", "complex", "--data.root", str(root), "--run_dir", str(tmp_path / "run"), *BRIEF]
    assert main("molecules", "pretrain", [*words, "--model.encoders.graph.entities.entities", "3"]) == 2
    assert "the graph has 4 entities and the model 3; set `entities`" in capsys.readouterr().err


def test_a_misspelt_figure_is_found_before_data_is_read(root, tmp_path, capsys):
    words = ["--config", "complex", "--data.root", str(root), "--run_dir", str(tmp_path / "run"), *BRIEF]
    figure = "[{class_path: domains.molecules.kg.LinkRankings}]"
    assert main("molecules", "pretrain", [*words, "--evaluation.figures", figure]) == 2
    assert "evaluation.figures.0" in capsys.readouterr().err


def test_both_sides_make_the_whole(root, tmp_path):
    run = tmp_path / "run"
    main("molecules", "pretrain", ["--config", "distmult", "--data.root", str(root), "--run_dir", str(run), *BRIEF])
    summary = json.loads((run / "summary.json").read_text())
    sides = [summary[f"test/links/{side}/mrr"] for side in ("heads", "tails")]
    assert np.mean(sides) == pytest.approx(summary["test/links/mrr"])
    assert set(LinkRanking.headline.values()) <= {name.removeprefix("test/") for name in summary}
    assert len(TRAIN) + len(VALID) == summary["records/train"] + summary["records/val"]
