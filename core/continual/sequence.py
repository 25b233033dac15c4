"""A sequence of tasks through the ordinary command line: a task is a pretraining run, begun with the run before it.

    scores = run_sequence("toy", [
        Task("spring", train=["--config", "clip", "--data.root", "a"], data=["--data.root", "a"]),
        Task("autumn", train=["--config", "ctp", "--data.root", "b"], data=["--data.root", "b"]),
    ], folder=Path("runs/seasons"), figure="test/retrieval/image_to_text/R@1")

After each task the model is evaluated on every task seen so far. What is done stays done: a sequence that was stopped
goes on where it was, in the middle of a task by `--resume`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import CheckpointError, ConfigError, nearest
from core.evaluation.continual import ContinualScores, continual_scores
from core.files import write_atomic
from core.training import cli


@dataclass(frozen=True, slots=True)
class Task:
    """One task. name: of its folder. train: arguments of `pretrain`, as on the command line; the first task usually
    names another system than the later ones, which have an old model. data: arguments of `evaluate` that name the
    task's data (layout, root, limits)."""

    name: str
    train: Sequence[str] = field(default_factory=list)
    data: Sequence[str] = field(default_factory=list)


def run_sequence(
    domain: str, tasks: Sequence[Task], *, folder: Path, figure: str, evaluate: Sequence[str] = ()
) -> ContinualScores:
    """Train the tasks in order, score each model on all seen tasks, write `folder/continual.json`.

    figure: the entry of an evaluation's summary that fills the matrix, larger is better. evaluate: further arguments
    of every evaluation. Raises ConfigError for tasks that cannot be, and CheckpointError when a run fails (it has said
    why on the screen).
    """
    _check(tasks)
    folder = folder.absolute()
    figure_TT = np.full((len(tasks), len(tasks)), np.nan)
    before: Path | None = None
    for t, task in enumerate(tasks):
        run = folder / f"{t}-{task.name}"
        _train(domain, task, run, before)
        for k, seen in enumerate(tasks[: t + 1]):
            summary = _score(domain, run, seen, folder / f"{t}-{task.name}-on-{k}-{seen.name}", evaluate)
            if not isinstance(summary.get(figure), (int, float)):
                numbers = [name for name, value in summary.items() if isinstance(value, (int, float))]
                raise ConfigError(
                    f"figure: the evaluation of '{seen.name}' has no '{figure}'{nearest(figure, numbers)}"
                )
            figure_TT[t, k] = summary[figure]
        before = run
    scores = continual_scores(figure_TT)
    rows = [[None if np.isnan(x) else x for x in row] for row in figure_TT.tolist()]
    about = {"figure": figure, "tasks": [task.name for task in tasks], "matrix": rows, **scores.flat()}
    write_atomic(folder / "continual.json", json.dumps(about, indent=1) + "\n", error=CheckpointError)
    return scores


def _check(tasks: Sequence[Task]) -> None:
    names = [task.name for task in tasks]
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"tasks: the names are {names}; give at least one task, each with a name of its own")
    for task in tasks:
        if not re.fullmatch(r"\w[\w.-]*", task.name):
            raise ConfigError(f"tasks: '{task.name}' cannot be the name of a folder; use letters, digits, - and _")
        ours = {"--run_dir", "--resume", "--init_from"} & {word.split("=")[0] for word in task.train}
        if ours:
            raise ConfigError(f"tasks: '{task.name}' sets {', '.join(sorted(ours))}, which the sequence gives itself")


def _train(domain: str, task: Task, run: Path, before: Path | None) -> None:
    if (run / "summary.json").is_file():
        return
    if (run / "config.yaml").is_file():
        argv = ["--resume", str(run)]
    else:
        argv = [*task.train, "--run_dir", str(run)]
        argv += [] if before is None else ["--init_from", str(before)]
    _main(domain, "pretrain", argv)


def _score(domain: str, run: Path, task: Task, folder: Path, evaluate: Sequence[str]) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.is_file():
        shutil.rmtree(folder, ignore_errors=True)  # an evaluation that was stopped begins anew
        _main(domain, "evaluate", ["--model", str(run), *task.data, *evaluate, "--run_dir", str(folder)])
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return summary


def _main(domain: str, verb: str, argv: list[str]) -> None:
    code = cli.main(domain, verb, argv)
    if code != 0:
        raise CheckpointError(f"{verb} {' '.join(argv)}: ended with code {code}; mend what it says, and run it again")
