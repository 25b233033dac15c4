"""Systems of texts with graphs through the real commands: trained, measured, saved, loaded, fine-tuned."""

import json

import numpy as np
import pytest
from grounded_samples import write_questions, write_texts

from core.hub import SavedModel
from core.training.cli import main
from core.training.finetuned import load_finetuned
from domains.molecules.grounded import ClozeFacts, HiddenLinkRanks, MaskedWords

BRIEF = [
    "--trainer.max_steps", "2", "--trainer.validate_every", "1", "--trainer.checkpoint_every", "2", "--data.batch_size",
    "4", "--trainer.threads", "1", "--trainer.progress", "false",
]  # fmt: skip
PRETRAIN = [*BRIEF, "--evaluation.bootstrap", "5", "--evaluation.gallery", "1"]
ASK = ["--data.layout", "qa_graph", "--data.layout_args", '{"graph": "umls", "graph_folder": "umls"}']


def summary_of(run):
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def dragon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dragon")
    root = write_texts(folder / "data" if (folder / "data").mkdir() is None else folder)
    words = ["--config", "dragon", "--run_dir", str(folder / "run"), "--data.root", str(root), *PRETRAIN]
    assert main("molecules", "pretrain", [*words, "--data.layout", "concept_texts"]) == 0
    return folder / "run"


def test_dragon_measures_words_facts_and_links(dragon):
    summary = summary_of(dragon)
    for figure in (ClozeFacts, MaskedWords, HiddenLinkRanks):
        for name in figure.headline.values():
            assert 0 <= summary[f"test/{name}"] <= 1
    assert summary["test/cloze/chance"] == pytest.approx(1 / 3)
    assert summary["test/hidden_links/mrr_low"] <= summary["test/hidden_links/mrr"]
    losses = [json.loads(line) for line in (dragon / "metrics.jsonl").read_text().splitlines()]
    assert any(np.isfinite(line.get("links/loss", np.nan)) for line in losses)


def test_the_saved_model_encodes_a_text_as_the_live_one(dragon):
    saved = SavedModel.from_pretrained(dragon)
    vector = saved.encoder("grounded").encode("aspirin treats pain .")
    assert vector.shape == (saved.model.dim,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
    other = saved.encoder("grounded").encode("salicin treats pain .")
    assert not np.allclose(vector, other, atol=1e-3)


@pytest.mark.parametrize("system", ["dragon_mlm", "greaselm", "greaselm_text"])
def test_the_other_systems_train_and_measure(system, tmp_path):
    root = (write_questions if "greaselm" in system else write_texts)(tmp_path)
    layout = ASK if "greaselm" in system else ["--data.layout", "concept_texts"]
    words = ["--config", system, "--run_dir", str(tmp_path / "run"), "--data.root", str(root), *PRETRAIN, *layout]
    if "greaselm" in system:  # its test split has no answers
        (root / "statement" / "test.statement.jsonl").write_text(
            (root / "statement" / "dev.statement.jsonl").read_text()
        )
    assert main("molecules", "pretrain", words) == 0
    summary = summary_of(tmp_path / "run")
    wanted = "test/answers/accuracy" if "greaselm" in system else "test/cloze/accuracy"
    assert 0 <= summary[wanted] <= 1
    if "greaselm" in system:
        assert summary["test/answers/chance"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_questions_are_a_downstream_task_of_a_pretrained_run(dragon, tmp_path):
    root = write_questions(tmp_path)
    (root / "statement" / "test.statement.jsonl").write_text((root / "statement" / "dev.statement.jsonl").read_text())
    words = ["--config", "choice", "--from_run", str(dragon), "--run_dir", str(tmp_path / "run"), *BRIEF, *ASK]
    assert main("molecules", "finetune", [*words, "--data.root", str(root), "--bootstrap", "5"]) == 0
    summary = summary_of(tmp_path / "run")
    assert 0 <= summary["test/accuracy"] <= 1
    assert summary["test/questions"] == 6
    found = load_finetuned(tmp_path / "run")
    reads = found.processors["grounded"]
    question = json.dumps({"stem": "What does aspirin treat ?", "choices": ["pain", "gout"], "answer": 0})
    logits = found.model(reads.collate([reads.load(question)]))
    assert logits.shape == (1, 2)
    assert found.model.head.encoder.concept_vectors.abs().sum() > 0  # frozen vectors come with the weights


def test_a_folder_without_questions_says_what_was_looked_for(dragon, tmp_path, capsys):
    words = ["--config", "choice", "--from_run", str(dragon), "--run_dir", str(tmp_path / "run"), *BRIEF, "--data.root"]
    assert main("molecules", "finetune", [*words, str(tmp_path), "--data.layout", "qa_graph"]) == 1
    assert "train.statement.jsonl" in capsys.readouterr().err
