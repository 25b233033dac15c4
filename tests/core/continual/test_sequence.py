"""A sequence of tasks on the toy domain: each begins with the last, all seen ones are scored, a stop is survived."""

from __future__ import annotations

import json
import shutil

import pytest
import toy_domain
from safetensors.torch import load_file

from core.continual import Task, run_sequence
from core.errors import CheckpointError, ConfigError
from core.training import cli

FIGURE = "test/retrieval/image_to_text/R@1"
QUICK = ["--evaluation.probe", "null", "--evaluation.zero_shot", "false", "--trainer.max_steps", "2"]
OLD = "{old: {class_path: core.objectives.FrozenTeacher}}"
CTP = (
    "[{class_path: core.objectives.Pair, init_args: {rows: picture, keys: words}},"
    " {class_path: core.objectives.TopologyPreservation, init_args: {first: picture, second: words, teacher: old}}]"
)


@pytest.fixture
def tasks(toy_domain_known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    roots = [toy_domain.write_dataset(tmp_path / name, {"train": 16, "val": 8, "test": 8}) for name in ("a", "b")]
    later = ["--teachers", OLD, "--objectives", CTP]
    return [
        Task(root.name, train=["--data.root", str(root), *QUICK, *extra], data=["--data.root", str(root)])
        for root, extra in zip(roots, ([], later), strict=True)
    ]


def test_tasks_follow_each_other_and_all_seen_ones_are_scored(tasks, tmp_path, monkeypatch):
    folder = tmp_path / "sequence"
    evaluate = ["--evaluation.probe", "null", "--evaluation.zero_shot", "false"]
    scores = run_sequence("toy", tasks, folder=folder, figure=FIGURE, evaluate=evaluate)
    about = json.loads((folder / "continual.json").read_text())
    assert about["tasks"] == ["a", "b"]
    assert about["matrix"][0][1] is None
    assert about["backward"] == scores.backward == pytest.approx(about["matrix"][1][0] - about["matrix"][0][0])
    first = load_file(folder / "0-a" / "model" / "model.safetensors")
    state = load_file(next((folder / "1-b" / "checkpoints").glob("step-00000002")) / "weights.safetensors")
    name = "projections.words.linear.weight"
    assert (state[f"objective.teachers.old.model.{name}"] == first[name]).all()

    # What is finished is not done again; what is missing is.
    shutil.rmtree(folder / "1-b-on-0-a")
    ran = []
    real = cli.main
    monkeypatch.setattr(cli, "main", lambda domain, verb, argv: ran.append(verb) or real(domain, verb, argv))
    assert run_sequence("toy", tasks, folder=folder, figure=FIGURE, evaluate=evaluate) == scores
    assert ran == ["evaluate"]


def test_a_figure_that_is_none_and_a_run_that_fails_say_so(tasks, tmp_path):
    with pytest.raises(ConfigError, match=r"has no 'test/retrieval/image_to_text/R@2'; did you mean"):
        run_sequence("toy", tasks[:1], folder=tmp_path / "x", figure="test/retrieval/image_to_text/R@2")
    bad = Task("bad", train=[*tasks[0].train, "--optim.lrr", "1"], data=tasks[0].data)
    with pytest.raises(CheckpointError, match="ended with code 2; mend what it says"):
        run_sequence("toy", [bad], folder=tmp_path / "y", figure=FIGURE)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ([], "give at least one task"),
        ([Task("a"), Task("a")], "a name of its own"),
        ([Task("../a")], "cannot be the name of a folder"),
        ([Task("a", train=["--init_from", "x"])], "sets --init_from, which the sequence gives itself"),
    ],
)
def test_tasks_that_cannot_be_are_refused(given, fault, tmp_path):
    with pytest.raises(ConfigError, match=fault):
        run_sequence("toy", given, folder=tmp_path, figure=FIGURE)
