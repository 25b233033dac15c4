"""The entity linking systems as a person runs them, on the rule-made set."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("rdkit")

from core.hub import SavedModel
from core.training.cli import main

BRIEF = [
    "--trainer.max_steps", "2", "--trainer.log_every", "1", "--trainer.threads", "1", "--trainer.progress", "false",
    "--data.batch_size", "8", "--evaluation.bootstrap", "5", "--evaluation.gallery", "1", "--data.layout_args",
    '{"names": 10}', "--data.limit", "{train: 32, val: 6, test: 6}",
]  # fmt: skip


@pytest.mark.parametrize("system", ["m3el", "m3el_bidirectional"])
def test_it_trains_on_the_rule_made_set_and_its_model_encodes_texts_and_pictures(system, tmp_path):
    run = tmp_path / "run"
    assert main("molecules", "pretrain", ["--config", system, "--run_dir", str(run), *BRIEF]) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["data_simulated"] == 1
    assert summary["test/linking/candidates"] == 40
    losses = [
        line["loss"] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "loss" in line
    ]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    saved = SavedModel.from_pretrained(run)
    vector = saved.encoder("mention").encode("the flask of something")
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
    assert "SIMULATED DATA" in (run / "report.html").read_text()
