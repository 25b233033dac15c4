"""Runs of the domain's commands at two sizes, each in its own process and folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import Launch, launch, run_command
from benchmarks.result import Options

DOMAIN = "remote_sensing"


@dataclass(frozen=True, slots=True)
class Size:
    """places: simulated places by split, None = those of the layout. limit: records of a split that are read."""

    pretrain_steps: int
    finetune_steps: int
    places: dict[str, int] | None = None
    limit: dict[str, int] | None = None
    bootstrap: int = 1000


FULL = Size(pretrain_steps=1400, finetune_steps=400, limit={"val": 40, "test": 200})
QUICK = Size(
    pretrain_steps=30, finetune_steps=30, places={"train": 24, "val": 2, "test": 6}, limit={"val": 2, "test": 24},
    bootstrap=100,
)  # fmt: skip


def size_of(options: Options) -> Size:
    return FULL if options.full else QUICK


def pretrained(
    system: str, seed: int, options: Options, size: Size, *, extra: Sequence[str] = (), start: Launch = launch
) -> Path:
    """The run to start from: the one given with --run, or one of this seed, made here."""
    if options.run is not None:
        return options.run.absolute()
    arguments = ["--config", system, "--seed", str(seed), *common(size, size.pretrain_steps), *extra]
    folder = options.folder.absolute() / f"pretrain-{system}-seed{seed}"
    run_command(DOMAIN, "pretrain", [*arguments, *options.overrides], folder, start=start)
    return folder


def finetuned(
    name: str, system: str, seed: int, source: Path, options: Options, size: Size, arguments: Sequence[str],
    *, start: Launch = launch,
) -> tuple[Path, dict[str, Any]]:  # fmt: skip
    """Folder and summary of one fine-tuning run."""
    folder = options.folder.absolute() / f"{name}-seed{seed}"
    given = [
        "--config", system, "--from_run", str(source), "--seed", str(seed), "--bootstrap", str(size.bootstrap),
        *common(size, size.finetune_steps), *arguments, *options.overrides,
    ]  # fmt: skip
    return folder, run_command(DOMAIN, "finetune", given, folder, start=start)


def common(size: Size, steps: int) -> list[str]:
    """Arguments that set the size of a run."""
    words = ["--trainer.max_steps", str(steps), "--trainer.validate_every", str(steps)]
    if size.places is not None:
        words += ["--data.layout_args.places", as_flow(size.places)]
    if size.limit is not None:
        words += ["--data.limit", as_flow(size.limit)]
    return words


def as_flow(values: dict[str, int]) -> str:
    """A mapping as YAML on one line."""
    return "{" + ", ".join(f"{k}: {v}" for k, v in values.items()) + "}"
