"""A radar and an optical model, trained on another season, label a target better after adapting to it without labels.

For every seed: one model of each sensor is fine-tuned from scratch on labelled scenes of one date, then both adapt to
scenes of another date, at other places, by the labels that they agree on (SUMMIT-style). The baseline is the same two
models, mean of their probabilities, before that. Radar and optical images of a date are about the same day.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import Launch, launch, pick, run_command
from benchmarks.result import Comparison, Options, Result, per_seed

SENSORS = ("s1", "s2")
SEEN = ("s1+s2", "s1", "s2")
FIGURES = tuple(f"{seen}/mean_iou" for seen in SEEN)
BEFORE, AFTER = "source models", "adapted"


@dataclass(frozen=True, slots=True)
class Design:
    """source_date, target_date: of the four of a place, 0 December to 3 September. places: of the simulated data set.
    steps: of each source model; adapt_steps: of the adaptation. labeller: class of core.objectives.pseudo."""

    source_date: int = 2
    target_date: int = 0
    train: int = 60
    val: int = 4
    test: int = 30
    system: str = "multimae"
    steps: int = 150
    adapt_steps: int = 100
    adapt_lr: float = 1e-4
    labeller: str = "GapSwitch"


def run(options: Options, design: Design | None = None, *, start: Launch = launch) -> Result:
    design = Design() if design is None else design
    found = [one_seed(seed, options, design, start) for seed in options.seeds]
    return Result(
        name="summit_adaptation",
        claim=(__doc__ or "").split("\n")[0],
        source="SUMMIT (Simons et al. 2023), on radar and optical images in place of cameras and LiDAR",
        data="SyntheticScenes, clean labels of held-out places on the target date",
        simulated=True,
        rule="mean IoU over the classes that occur, from the mean of both towers' probabilities and from each tower",
        seeds=options.seeds,
        values=per_seed(found),
        config={"design": asdict(design), "overrides": list(options.overrides)},
        comparisons=tuple(Comparison(metric, AFTER, BEFORE) for metric in FIGURES),
    )


def one_seed(seed: int, options: Options, design: Design, start: Launch) -> dict[str, dict[str, float]]:
    """Figures of one seed, which decides the simulated places, the weights and the batches."""
    runs = {}
    for sensor in SENSORS:
        runs[sensor] = options.folder / f"{sensor}-seed{seed}"
        arguments = [
            "--config", "landcover", "--modality", sensor, "--init", "scratch", "--pretrain_system", design.system,
            "--trainer.max_steps", str(design.steps), *_shared(seed, design.source_date, design), *options.overrides,
        ]  # fmt: skip
        run_command("remote_sensing", "finetune", arguments, runs[sensor], start=start)
    node = {"class_path": f"core.objectives.pseudo.{design.labeller}"}
    arguments = [
        "--config", "summit", *(word for s in SENSORS for word in (f"--towers.{s}", str(runs[s].absolute()))),
        "--task.init_args.labeller", json.dumps(node), "--trainer.max_steps", str(design.adapt_steps),
        "--optim.lr", str(design.adapt_lr), *_shared(seed, design.target_date, design), *options.overrides,
    ]  # fmt: skip
    folder = options.folder / f"{design.labeller}-seed{seed}"
    summary = run_command("remote_sensing", "finetune", arguments, folder, start=start)
    return _arms(summary, folder)


def _shared(seed: int, date: int, design: Design) -> list[str]:
    places = {"train": design.train, "val": design.val, "test": design.test}
    layout = {"places": places, "dates": [date], "seed": seed}
    return [
        "--data.layout_args", json.dumps(layout), "--seed", str(seed), "--bootstrap", "1", "--trainer.validate_every",
        str(max(design.steps, design.adapt_steps)),
    ]  # fmt: skip


def _arms(summary: dict[str, Any], folder: Path) -> dict[str, dict[str, float]]:
    wanted = {BEFORE: "test/unadapted/", AFTER: "test/"}
    return {
        arm: {name: pick(summary, (front + name,), folder)[front + name] for name in FIGURES}
        for arm, front in wanted.items()
    }
