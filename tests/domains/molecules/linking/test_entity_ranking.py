"""Entity linking through the real command: trained, ranked over the whole knowledge base, saved, ranked again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from linking_files import ENTITIES, write_set

from core.config.schema import DataSettings
from core.data.datamodule import DataModule
from core.errors import ConfigError
from core.evaluation.answers import answer_ranks
from core.hub import SavedModel
from core.training.cli import main
from core.training.precision import Compute
from domains.molecules.data import layout_class
from domains.molecules.linking import EntityRanking, score_table
from domains.molecules.linking.baselines import PRIOR_SHARE, baselines

BRIEF = [
    "--trainer.max_steps", "2", "--trainer.validate_every", "1", "--trainer.checkpoint_every", "2", "--data.batch_size",
    "3", "--trainer.threads", "1", "--trainer.progress", "false", "--evaluation.bootstrap", "5",
]  # fmt: skip
WIKIMEL = ["--data.layout", "wikimel", "--data.root"]
COMPUTE = Compute(torch.device("cpu"), "32", 1)


def ranked(system, root, run):
    assert main("molecules", "pretrain", ["--config", system, *WIKIMEL, str(root), "--run_dir", str(run), *BRIEF]) == 0
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("linking") / "set")


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "m3el"
    ranked("m3el", root, folder)
    return folder


def opened(run, root):
    saved = SavedModel.from_pretrained(run)
    layouts = {split: layout_class("wikimel")(root=root, split=split) for split in ("train", "val", "test")}
    data = DataModule(layouts, saved.processors, DataSettings(batch_size=2), seed=0)
    data.prepare(("train", "val", "test"), bad_csv=run / "bad.csv")
    saved.model.eval()
    return saved.model, data


@torch.no_grad()
def measured(model, data, *, n_bootstrap=2, **how):
    figure = EntityRanking(**how)
    return figure.measure(model, data, split="test", compute=COMPUTE, seed=0, n_bootstrap=n_bootstrap), figure


def test_a_run_ranks_all_entities_beside_baselines_and_shows_them(run):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test/linking/questions"] == 2
    assert summary["test/linking/candidates"] == len(ENTITIES)
    assert summary["test/linking/chance_hits@1"] == pytest.approx(1 / 3)
    for name in ("", "text/", "picture/", "cross/", "by_prior/", "by_name/", "by_name_and_prior/", "by_words/"):
        assert 1 / 3 <= summary[f"test/linking/{name}mrr"] <= 1
        assert {f"test/linking/{name}{k}" for k in ("hits@1", "hits@3", "hits@5", "mean_rank")} <= set(summary)
    assert summary["test/linking/mrr_low"] <= summary["test/linking/mrr"] <= summary["test/linking/mrr_high"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("val/linking/mrr" in line for line in lines)
    report = (run / "report.html").read_text()
    assert "held-out mentions, evenly chosen" in report
    assert "a Roman god" in report
    assert "data:image/png" in report


def test_a_saved_model_ranks_the_same(run, root, tmp_path):
    words = ["--model", str(run), "--run_dir", str(tmp_path / "again"), *WIKIMEL, str(root)]
    assert main("molecules", "evaluate", [*words, "--evaluation.probe", "null", "--evaluation.bootstrap", "5"]) == 0
    first, second = (json.loads((f / "summary.json").read_text()) for f in (run, tmp_path / "again"))
    for name in ("mrr", "hits@1", "mean_rank", "text/mrr", "by_words/mrr"):
        assert first[f"test/linking/{name}"] == second[f"test/linking/{name}"]


def test_both_directions_of_the_bidirectional_level_are_ranked(root, tmp_path):
    """Erratum: the release ranks with a level that it has not trained."""
    summary = ranked("m3el_bidirectional", root, tmp_path / "run")
    assert {"test/linking/cross_text_to_picture/mrr", "test/linking/cross_picture_to_text/mrr"} <= set(summary)
    model, _ = opened(tmp_path / "run", root)
    assert model.heads["linking"].names == ["text", "picture", "cross_text_to_picture", "cross_picture_to_text"]


def test_neither_the_number_of_entities_at_once_nor_where_scores_lie_changes_a_figure(run, root, monkeypatch):
    model, data = opened(run, root)
    expected, _ = measured(model, data)
    assert measured(model, data, batch=1)[0] == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(score_table, "IN_MEMORY", 0)
    assert measured(model, data, batch=2)[0] == pytest.approx(expected, abs=1e-6)


def test_during_training_only_the_overall_score_is_ranked(run, root):
    model, data = opened(run, root)
    short, whole = (measured(model, data, n_bootstrap=n)[0] for n in (1, 2))
    assert not [name for name in short if "/text/" in name or "by_" in name or name.endswith("_low")]
    assert short["linking/mrr"] == whole["linking/mrr"]


def test_without_ties_the_rank_is_that_of_sorting_twice():
    rng = np.random.default_rng(0)
    scores, answers = torch.from_numpy(rng.permuted(np.tile(np.arange(9.0), (6, 1)), axis=1)), rng.integers(0, 9, 6)
    found = answer_ranks(lambda rows: scores[rows], np.arange(6), answers, candidates=9).realistic
    sorted_twice = scores.argsort(dim=1, descending=True).argsort(dim=1) + 1
    np.testing.assert_array_equal(found, sorted_twice[torch.arange(6), torch.from_numpy(answers)].numpy())


def test_examples_tell_the_rank_that_is_scored(run, root):
    model, data = opened(run, root)
    figures, figure = measured(model, data)
    assert np.mean(1 / figure.last.rank) == pytest.approx(figures["linking/mrr"])
    assert figure.last.top.shape == (2, 3)
    assert (np.diff(figure.last.score, axis=1) <= 0).all()


def test_an_entity_whose_picture_cannot_be_read_is_ranked_without_it(tmp_path, run):
    broken = write_set(tmp_path / "set")
    (broken / "kb_image" / "Q10-a.jpg").write_text("no picture")
    model, data = opened(run, broken)
    # the mention whose own entity it is has to be skipped by policy, and that of the other entity stays
    figures, _ = measured(model, data)
    assert figures["linking/entities_unreadable"] == 1
    assert figures["linking/questions"] == 1


def test_baselines_by_hand(root):
    train, test = (layout_class("wikimel")(root=root, split=split) for split in ("train", "test"))
    found = {name: scores(slice(0, 2)) for name, scores in baselines(test, [0, 1], train).items()}
    torch.testing.assert_close(found["by_prior"], torch.tensor([[1.0, 0.5, 0.5]] * 2))  # two mentions, one, one
    named = found["by_name"]
    torch.testing.assert_close(named[:, :2], torch.ones(2, 2))  # "Mercury" is the name of both, whatever its case
    assert (named[:, 2] < 1).all()
    torch.testing.assert_close(found["by_name_and_prior"], named + PRIOR_SHARE * found["by_prior"])
    assert found["by_words"][0].argmax() == 1  # the sentence says "god", and so does the description
    nobody = baselines(test, [0], None)["by_prior"](slice(0, 1))
    assert nobody.abs().max() == 0


def test_a_model_or_layout_that_it_cannot_rank_is_refused(run, root, capsys, tmp_path):
    model, data = opened(run, root)
    with pytest.raises(ConfigError, match=r"model\.heads has no 'linkin'; did you mean 'linking'"):
        EntityRanking(head="linkin").check(model)
    with pytest.raises(ConfigError, match="batch is 0"):
        EntityRanking(batch=0)
    data.layouts["test"] = object.__new__(layout_class("umls"))
    with pytest.raises(ConfigError, match="has no knowledge base; use an entity linking layout"):
        measured(model, data)
