"""A packaged system of texts with graphs trained on the rule-made facts, and its own figures on the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import train_on
from benchmarks.molecules._links import SPLITS, system
from benchmarks.result import Options, Values, per_seed
from core.config.schema import DataSettings, OptimSettings
from core.config.tree import set_dotted
from core.data.datamodule import DataModule
from core.training.figures import build_figures, measured_figures
from core.training.precision import Compute
from core.training.setup import build_layouts, build_model, build_objective, build_processors


def figures_after_training(
    name: str, folder: Path, *, facts: str, seed: int, steps: int, changes: dict[str, Any] | None = None
) -> dict[str, float]:
    """Train the system `name` with the settings of its YAML and `changes` (dotted key -> value) for `steps` steps.

    folder: for the list of bad records. facts: see `FactSheets`; texts, facts and weights depend on the seed."""
    tree = system(name)
    for key, value in (changes or {}).items():
        set_dotted(tree, key, value)
    settings = DataSettings(**{**tree["data"], "layout_args": {"facts": facts, "seed": seed}})
    model, objective = build_model(tree["model"], seed), build_objective(tree["objectives"], seed)
    processors = build_processors(settings.processors)
    data = DataModule(build_layouts("molecules", settings), processors, settings, seed=seed)
    data.fit_processors()
    data.prepare(SPLITS, bad_csv=folder / "bad_records.csv")
    model.take(processors)
    train_on(model, objective, data.train_loader, steps=steps, optim=OptimSettings(**tree["optim"]), seed=seed)
    compute = Compute(torch.device("cpu"), "32", torch.get_num_threads())
    asked = build_figures(tree["evaluation"]["figures"], model)
    return measured_figures(asked, model, data, split="test", compute=compute, seed=seed, n_bootstrap=1)


def of_seeds(arms: Mapping[str, tuple[str, str]], kept: Sequence[str], options: Options, *, steps: int) -> Values:
    """Arm -> figure -> value per seed. arms: name -> (system, facts). kept: figures, of which an arm has some."""
    found = []
    for seed in options.seeds:
        of_seed = {}
        for arm, (name, facts) in arms.items():
            figures = figures_after_training(name, options.folder, facts=facts, seed=seed, steps=steps)
            of_seed[arm] = {key: figures[key] for key in kept if key in figures}
        found.append(of_seed)
    return per_seed(found)
