"""The remote sensing suite, with a stand-in for the commands that it drives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.remote_sensing import ENTRIES, LONG, classification, label_efficiency, retrieval
from benchmarks.remote_sensing._runs import FULL, QUICK
from benchmarks.result import Options
from benchmarks.suite import suites
from core.errors import DataError

EASY, HARD = np.array([[8, 0], [0, 8]]), np.array([[5, 3], [3, 5]])


class Stand:
    """Answers as the commands do: a summary, and the counts of held-out maps."""

    def __init__(self, shift: int = 0) -> None:
        self.asked: list[list[str]] = []
        self.shift = shift

    def __call__(self, arguments: list[str], log: Path) -> int:
        self.asked.append(arguments)
        log.write_text("")
        values = dict(zip(arguments[2::2], arguments[3::2], strict=False))
        folder = Path(values["--run_dir"])
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("{}")
        better = values.get("--init") == "pretrained"
        parts = values.get("--modality", "s2").strip("[]").replace(", ", "+")
        answer = {
            "test/mean_iou": 0.5 + 0.1 * better + 0.01 * int(values["--seed"]), "test/s1/mean_iou": 0.52,
            "test/macro_map": 0.6, "test/micro_map": 0.6, "test/macro_f1": 0.5, "test/micro_f1": 0.5,
            "test/average_accuracy": 0.4 + 0.1 * better, "test/accuracy": 0.5, "test/iou/changed": 0.3,
            "test/f1/changed": 0.4, "test/retrieval/text_to_image/R@5": 0.3,
            "test/retrieval/text_to_image/R@5_chance": 0.02,
        }  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(answer))
        counts = np.stack([EASY if better else HARD, HARD, EASY])
        groups = np.array([1, 2, 3]) + self.shift * better
        kept = {"all": np.array(parts)}
        for seen in {parts, *parts.split("+")}:
            kept |= {f"counts {seen}": counts, f"groups {seen}": groups}
        np.savez(folder / "test_maps.npz", **kept)
        return 0


def test_label_efficiency_pairs_arms_sensors_and_places(tmp_path):
    stand = Stand()
    result = label_efficiency.run(Options(seeds=(0, 1, 2), folder=tmp_path), start=stand)
    pretraining = [a for a in stand.asked if a[1].endswith("pretrain")]
    assert [len(pretraining), len(stand.asked)] == [3, 3 + 3 * 6]
    assert [effect.difference.mean for effect in result.effects[:3]] == pytest.approx([0.1] * 3)
    assert result.effects[3].difference.values == pytest.approx((0.02, 0.01, 0.0))  # 0.52 against 0.50, 0.51, 0.52
    assert all(result.reached(goal) for goal in result.goals)
    # IoU of pooled counts: 21 of 24 + 3 wrong twice = 21 / 27 against 18 / 30
    expected = 21 / 27 - 18 / 30
    assert all(f"{expected:.3f}" in note for note in result.notes)
    assert "paired over 3 places (3 maps)" in result.notes[0]
    assert "seed 2" in result.notes[0]


def test_runs_that_were_scored_on_other_maps_are_not_compared(tmp_path):
    with pytest.raises(DataError, match="different maps"):
        label_efficiency.run(Options(seeds=(0,), folder=tmp_path), start=Stand(shift=1))


def test_a_given_run_is_not_pretrained_again(tmp_path):
    stand = Stand()
    classification.run(Options(seeds=(0,), folder=tmp_path / "out", run=tmp_path), start=stand)
    assert [a[1] for a in stand.asked] == ["domains.remote_sensing.finetune"] * 6
    assert all(str(tmp_path) == a[a.index("--from_run") + 1] for a in stand.asked)


def test_full_and_quick_differ_in_size_only(tmp_path):
    asked = []
    for full in (False, True):
        stand = Stand()
        retrieval.run(Options(seeds=(0,), folder=tmp_path / str(full), full=full), start=stand)
        asked.append(stand.asked)
    quick, full = (found[0] for found in asked)
    assert quick[quick.index("--trainer.max_steps") + 1] == str(QUICK.pretrain_steps)
    assert full[full.index("--trainer.max_steps") + 1] == str(FULL.pretrain_steps)
    assert "--data.layout_args.places" in quick
    assert "--data.layout_args.places" not in full


def test_the_suite_is_listed_with_a_claim_for_each_entry():
    suite = suites()["remote_sensing"]
    assert (suite.entries, suite.long) == (ENTRIES, LONG)
    assert suite.sizes
    assert set(ENTRIES) <= set(suite.driving)
    assert all(suite.claim(name).endswith(".") for name in (*ENTRIES, *LONG))
