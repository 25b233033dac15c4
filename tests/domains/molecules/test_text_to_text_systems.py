"""Systems from text to text through the real commands: trained for two steps, saved, loaded, told the same again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import core
from core.config.tree import load_system
from core.hub import SavedModel
from core.training.cli import main
from domains.molecules.facts.rule_made import write as write_facts
from domains.molecules.schema.rule_made import write as write_questions

FOLDER = Path(core.__file__).parents[1] / "configs" / "molecules" / "pretrain"
BRIEF = [
    "--data.batch_size", "4", "--trainer.max_steps", "2", "--trainer.log_every", "1", "--trainer.threads", "1",
    "--trainer.progress", "false", "--trainer.validate_every", "2", "--evaluation.bootstrap", "5",
    "--data.limit", "{train: 24, val: 3, test: 24}",
]  # fmt: skip
FIGURES = {"prompt": "schema/micro_f1", "facts": "facts/chrf++"}
SHORT = {
    name: ["--evaluation.figures", f"[{{class_path: domains.molecules.{figure}, init_args: {{length: 5}}}}]"]
    for name, figure in {"prompt": "schema.scores.SchemaScores", "facts": "facts.scores.SentenceScores"}.items()
}


def modality(system: str) -> str:
    return next((m for m in FIGURES if m in load_system(FOLDER / f"{system}.yaml")["data"]["processors"]), "")


SYSTEMS = sorted(p.stem for p in FOLDER.glob("[!_]*.yaml") if modality(p.stem))


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    found = {name: tmp_path_factory.mktemp(name) for name in FIGURES}
    write_questions(found["prompt"], documents=20)
    write_facts(found["facts"], sentences=12)
    return found


def run(verb: str, folder: Path, root: Path, name: str, *words: str) -> dict[str, float]:
    layout = {"prompt": "matsci", "facts": "xalign"}[name]
    where = ["--run_dir", str(folder), "--data.root", str(root), "--data.layout", layout]
    assert main("molecules", verb, [*where, *words]) == 0
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_trains_tells_and_tells_the_same_when_loaded(system, roots, tmp_path, capsys):
    name = modality(system)
    root, arguments = roots[name], ["--data.layout_args", "{}"]
    first = run("pretrain", tmp_path / "run", root, name, "--config", system, *arguments, *BRIEF, *SHORT[name])
    assert FIGURES[name].split("/")[0] in " ".join(first)
    assert first["records_skipped/test"] == 0
    losses = [json.loads(row).get("loss") for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([loss for loss in losses if loss is not None]).all()
    assert {"prompt": "text to schema", "facts": "facts to text"}[name] in capsys.readouterr().out
    report = (tmp_path / "run" / "report.html").read_text()
    assert {"prompt": "closest label", "facts": "generate hindi"}[name] in report  # the table of samples

    if system not in ("matsci_nlp", "xf2t"):  # their comparisons load and tell by the same code
        return
    words = ["--model", str(tmp_path / "run"), "--data.augment", "false", "--evaluation.probe", "null"]
    words += ["--evaluation.bootstrap", "5", "--data.limit", "{test: 24}", "--evaluation.retrieval", "false"]
    second = run("evaluate", tmp_path / "again", root, name, *words)
    figures = [key for key in first if key.startswith(("test/schema/", "test/facts/"))]
    assert f"test/{FIGURES[name]}" in figures
    if name == "prompt":  # the most frequent label is that of all training questions, which both runs read
        assert first["test/schema/questions"] == 24
    assert {key: first[key] for key in figures} == pytest.approx({key: second[key] for key in figures}, abs=1e-6)
    saved = SavedModel.from_pretrained(tmp_path / "run")
    source = next(iter(_sources(root, name)))
    assert saved.encoder(name).encode(source).shape == (saved.model.dim,)


def _sources(root: Path, name: str) -> list[str]:
    from domains.molecules.data import layout_class

    layout = layout_class({"prompt": "matsci", "facts": "xalign"}[name])(root=root, split="test")
    return [str(layout.record(0).sources[name])]


def test_devanagari_targets_are_scored_in_their_own_script(roots, tmp_path):
    script = [f"--data.processors.{m}.init_args.script=devanagari" for m in ("facts", "sentence")]
    words = ["--config", "xf2t_plain", *BRIEF, *SHORT["facts"], *script]
    figures = run("pretrain", tmp_path / "run", roots["facts"], "facts", *words)
    assert {"test/facts/bn/bleu", "test/facts/hi/chrf++", "test/facts/en/exact"} <= set(figures)


def test_one_per_cent_of_the_questions_is_what_the_paper_trains_on(roots, tmp_path):
    words = ["--config", "matsci_nlp", *BRIEF, *SHORT["prompt"], "--data.layout_args", "{train_share: 0.01}"]
    figures = run("pretrain", tmp_path / "run", roots["prompt"], "prompt", *words)
    assert 8 <= figures["records/train"] <= 24
