"""A pretrained molecule encoder predicts properties better than the same encoder from scratch and than Morgan + ridge.

Drives `finetune` for every seed, with pretrained and with fresh weights, on the measured sets that are installed; the
figures of Morgan fingerprints come from the same runs. A seed decides scaffold split, fresh weights and batches. The
pretrained run is one for all seeds: the one given with --run, or one of the default system, made here. Settings that
follow replace the sets: `--config property_labels --data.layout moleculenet --data.root DIR --data.layout_args
'{"dataset": "tox21"}'`; then the split is the layout's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import Launch, launch, run_command
from benchmarks.result import Comparison, Options, Result, per_seed
from core.errors import DataError
from domains.molecules.data.shipped import PROPERTIES, installed_sets

TUNED, SCRATCH, MORGAN = "fine-tuned", "from scratch", "Morgan + linear"
HIGHER = ("macro_auroc", "macro_auprc", "R2")
FIGURES = ("RMSE", "MAE", "R2")


@dataclass(frozen=True, slots=True)
class Design:
    """sets: measured ones; those that are not installed are left out. steps: of a fine-tuning run, None = its own.
    most: molecules of a set. pretrain_steps: None = those of the default system."""

    sets: tuple[str, ...] = tuple(PROPERTIES)
    steps: int | None = None
    most: int | None = None
    pretrain_steps: int | None = None
    bootstrap: int = 200


def run(options: Options, design: Design | None = None, *, start: Launch = launch) -> Result:
    design = design or Design()
    source = _pretrained(options, design, start)
    sets = [""] if options.overrides else [name for name in design.sets if name in installed_sets()]
    found = []
    for seed in options.seeds:
        values: dict[str, dict[str, float]] = {}
        for name in sets:
            for arm, init in ((TUNED, "pretrained"), (SCRATCH, "scratch")):
                summary = _finetuned(name, init, seed, source, options, design, start)
                values |= {_arm(target, arm): figures for target, figures in _figures(summary, "test/").items()}
            values |= {_arm(target, MORGAN): figures for target, figures in _figures(summary, "test/morgan/").items()}
        found.append(values)
    arms = per_seed(found)
    return Result(
        name="property_prediction",
        claim=(__doc__ or "").split("\n")[0],
        source="the suite's own claim; Hu et al. 2020 for pretraining, MoleculeNet for the protocol",
        data="as given: " + " ".join(options.overrides) if options.overrides else "measured: " + ", ".join(sets),
        simulated=False,
        rule="held-out scaffolds; the step with the best validation; RMSE and MAE in the unit of the data, ROC-AUC as "
        "mean over tasks with both classes in the fold",
        seeds=options.seeds,
        values=arms,
        config={"design": asdict(design), "run": str(options.run or "one, made here"), "given": options.overrides},
        comparisons=tuple(_comparisons(arms)),
        notes=("Seeds share the pretrained run: their spread is that of splits and fine-tuning alone.",),
    )


def _comparisons(arms: Mapping[str, Mapping[str, Any]]) -> list[Comparison]:
    out = []
    for arm in arms:
        target, _, kind = arm.rpartition(", ")
        metric = "RMSE" if "RMSE" in arms[arm] else "macro_auroc"
        if kind == TUNED:
            out += [
                Comparison(metric, arm, _arm(target, other), better="higher" if metric in HIGHER else "lower")
                for other in (SCRATCH, MORGAN)
                if _arm(target, other) in arms
            ]
    return out


def _arm(target: str, kind: str) -> str:
    return f"{target}, {kind}"


def _figures(summary: Mapping[str, Any], prefix: str) -> dict[str, dict[str, float]]:
    """Target -> figure -> value: all labels as one target, or each quantity by its name."""
    if f"{prefix}macro_auroc" in summary:
        names = ("macro_auroc", "macro_auprc", "labels_scored")
        return {"labels": {name: float(summary[prefix + name]) for name in names}}
    targets = [key.removeprefix(prefix).removesuffix("/RMSE") for key in summary if key.startswith(prefix)
               and key.endswith("/RMSE")]  # fmt: skip
    if prefix == "test/":
        targets = [name for name in targets if not name.startswith("morgan/")]
    if not targets:
        raise DataError(f"property_prediction: a run has no figure under {prefix}; does its task have a baseline?")
    return {name: {figure: float(summary[f"{prefix}{name}/{figure}"]) for figure in FIGURES} for name in targets}


def _pretrained(options: Options, design: Design, start: Launch) -> Path:
    if options.run is not None:
        return options.run.absolute()
    folder = options.folder.absolute() / "pretrain"
    steps = [] if design.pretrain_steps is None else ["--trainer.max_steps", str(design.pretrain_steps)]
    most = [] if design.most is None else ["--data.layout_args.most", str(design.most)]
    run_command("molecules", "pretrain", ["--seed", str(options.seeds[0]), *steps, *most], folder, start=start)
    return folder


def _finetuned(
    name: str, init: str, seed: int, source: Path, options: Options, design: Design, start: Launch
) -> dict[str, Any]:
    words = ["--from_run", str(source), "--init", init, "--seed", str(seed), "--bootstrap", str(design.bootstrap)]
    if name:
        words += ["--data.layout_args.property", name, "--data.layout_args.split_seed", str(seed)]
        words += [] if design.most is None else ["--data.layout_args.most", str(design.most)]
    words += [] if design.steps is None else ["--trainer.max_steps", str(design.steps)]
    folder = options.folder.absolute() / f"{name or 'given'}-{init}-seed{seed}"
    return run_command("molecules", "finetune", [*words, *options.overrides], folder, start=start)
