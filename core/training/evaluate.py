"""`evaluate`: what a saved model can do on a dataset."""

from __future__ import annotations

import time
from typing import Any

from core.config.schema import EvaluateConfig, EvaluationSettings
from core.data.datamodule import DataModule
from core.errors import ConfigError
from core.hub import SavedModel
from core.training import setup
from core.training.cli import Request
from core.training.figures import build_figures
from core.training.measure import measure
from core.training.precision import resolve
from core.training.pretrain import reading_progress, say
from core.training.reporting import headline, modality_names, pretrain_report
from core.training.run_folder import RunFolder, environment, newest_run, peak_rss_mb


def run(request: Request) -> None:
    """Run the request to its end; raises a HeptadError for what the user can mend."""
    config = setup.check(request, EvaluateConfig)
    compute = resolve(config.trainer)
    path = config.model or newest_run(request.domain)
    if path is None:
        raise ConfigError(f"no pretrained run under runs/{request.domain}; give a run or saved model with --model DIR")
    saved = SavedModel.from_pretrained(path, device=str(compute.device))
    folder = RunFolder.of(request, config.run_dir)
    say(f"{request.domain} evaluate {path}  ({compute})\nrun folder: {folder.path}")
    folder.write_config({**request.tree, "model": str(path)}, request.system)
    if config.data.processors:
        raise ConfigError("data.processors: evaluation reads data as the model was trained to; leave them out")
    settings = with_prompts(config.evaluation, saved)
    figures = build_figures(settings.figures, saved.model)
    data_settings = config.data.model_copy(update={"processors": saved.processor_nodes})
    if "on_bad_record" not in config.data.model_fields_set:
        data_settings.on_bad_record = "raise"
    data = DataModule(
        setup.build_layouts(request.domain, data_settings), saved.processors, data_settings, seed=config.seed
    )
    splits = (config.split,) if settings.probe is None else tuple(dict.fromkeys(("train", config.split)))
    data.prepare(splits, bad_csv=folder.path / "bad_records.csv", progress=reading_progress())
    measured = measure(
        saved.model, data, settings, compute, split=config.split, seed=config.seed,
        scale=float(saved.about.get("logit_scale", 1.0)), figures=figures, tell=say,
    )  # fmt: skip
    layout = data.layouts[config.split]
    summary: dict[str, Any] = {
        **measured.numbers,
        **modality_names(measured),
        "data": layout.name,
        "data_simulated": int(layout.simulated),
        "data_fingerprint": data.fingerprint(),
        "wall_s": time.time() - folder.started,
        "peak_rss_mb": peak_rss_mb(),
        "seed": config.seed,
        **{f"records/{split}": len(data.indices[split]) for split in splits},
    }
    folder.write_summary(summary)
    facts = environment(compute.threads)
    report = pretrain_report(request, folder, settings, data, measured, summary, facts, config.split)
    for note in measured.notes:
        say(f"note: {note}")
    print()
    for line in headline(summary, config.split, measured.headline):
        print(line)
    print(f"\nreport  {report}\nfigures {folder.path / 'summary.json'}", flush=True)


def with_prompts(settings: EvaluationSettings, saved: SavedModel) -> EvaluationSettings:
    """The prompts and further figures the model was trained with, and the modality that reads the prompts, unless
    others are given."""
    return settings.model_copy(
        update={
            "prompts": settings.prompts or saved.about.get("prompts", {}),
            "prompts_as": settings.prompts_as or saved.about.get("prompts_as", ""),
            "figures": settings.figures or saved.about.get("figures", []),
        }
    )
