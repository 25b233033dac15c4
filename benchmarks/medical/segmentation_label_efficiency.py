"""With 10% of the labels, segmentation from a pretrained encoder beats the same network from scratch.

Drives `python -m domains.medical.finetune --config segmentation` for every seed, once with the weights of the run that
is given with --run and once without. A seed decides the label subset, the first weights of the rest and the batches;
both arms of a seed share them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import Launch, launch, pick, run_command
from benchmarks.result import Comparison, Goal, Options, Result, per_seed
from core.errors import ConfigError
from core.training.run_folder import newest_run

DICE = ("test/organs/mean_dice", "test/lesions/mean_dice")
FIGURES = (*DICE, "train_wall_s")
ARMS = ("scratch", "pretrained")  # values of --init


@dataclass(frozen=True, slots=True)
class Design:
    """label_fraction: of the training studies. organs: the Dice that organs should reach with pretraining."""

    config: str = "segmentation"
    label_fraction: float = 0.1
    organs: float = 0.85


def run(options: Options, design: Design | None = None, *, start: Launch = launch) -> Result:
    """Raises ConfigError when there is no pretrained run to start from."""
    design = Design() if design is None else design
    source = newest_run("medical") if options.run is None else options.run
    if source is None:
        raise ConfigError(
            "segmentation_label_efficiency needs a pretrained run: give one with --run RUN_DIR, or run "
            "`python -m domains.medical.pretrain` first"
        )
    summaries = [one_seed(seed, source, options, design, start) for seed in options.seeds]
    first = summaries[0]["pretrained"]
    return Result(
        name="segmentation_label_efficiency",
        claim=(__doc__ or "").split("\n")[0],
        source="the suite's own claim, U-Net decoder on the pretrained encoder",
        data=f"{first.get('data', '')}, organ and lesion masks of held-out studies",
        simulated=bool(first.get("data_simulated")),
        rule="mean over classes of the mean Dice over held-out cases, on the grid of the file",
        seeds=options.seeds,
        values=per_seed(
            [
                {arm: pick(summary, FIGURES, options.folder / _name(arm, seed)) for arm, summary in found.items()}
                for seed, found in zip(options.seeds, summaries, strict=True)
            ]
        ),
        config={"design": asdict(design), "run": source.name, "overrides": list(options.overrides)},
        comparisons=tuple(Comparison(metric, "pretrained", "scratch") for metric in DICE),
        goals=(Goal(DICE[0], "pretrained", design.organs),),
    )


def one_seed(seed: int, source: Path, options: Options, design: Design, start: Launch) -> dict[str, dict[str, Any]]:
    """Summaries of both arms."""
    found = {}
    for arm in ARMS:
        arguments = [
            "--config", design.config, "--from_run", str(source.absolute()), "--init", arm,
            "--label_fraction", str(design.label_fraction), "--seed", str(seed), *options.overrides,
        ]  # fmt: skip
        found[arm] = run_command("medical", "finetune", arguments, options.folder / _name(arm, seed), start=start)
    return found


def _name(arm: str, seed: int) -> str:
    return f"{arm}-seed{seed}"
