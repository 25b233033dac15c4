"""`finetune`: a downstream task on the encoder of a pretrained run, or on the same encoder from scratch."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from core.config.schema import FinetuneConfig
from core.config.tree import Tree, find_system, load_system
from core.data.datamodule import DataModule
from core.data.dataset import named
from core.errors import ConfigError, nearest
from core.evaluation.label_efficiency import subset
from core.hub import SavedModel
from core.objectives.base import Objective
from core.training import checkpoint, setup
from core.training.cli import CONFIGS, Request, domain_info
from core.training.finetuned import save_finetuned
from core.training.module import TrainingModule
from core.training.precision import resolve
from core.training.pretrain import SPLITS, fit, go_on, reading_progress, resume_point, run_facts, say
from core.training.reporting import finetune_report
from core.training.run_folder import RunFolder, environment, is_follower, newest_run, peak_rss_mb
from core.training.source import Source, TowerSource
from core.training.tasks import Downstream, Task


def run(request: Request) -> None:
    """Run the request to its end; raises a HeptadError for what the user can mend."""
    config = setup.check(request, FinetuneConfig)
    source = find_source(request, config)
    tree = setup.resolved(config) | {"from_run": None if source.path is None else str(source.path)}
    request = replace(request, tree=tree)
    task: Task = setup.build(config.task)
    modalities = named(config.modality)
    if len(modalities) > 1 and not task.several:
        raise ConfigError(f"modality: {type(task).__name__} reads one modality, not {', '.join(modalities)}; name one")
    source.check(task)
    processors = source.processors(config.data.processors)
    folder = RunFolder.of(request, config.run_dir)
    resume = resume_point(request, folder)
    compute = resolve(config.trainer, threads=None if resume is None else resume.facts.get("threads"))
    say(f"{request.domain} finetune {request.system}  ({compute})")
    say(f"encoder: {source.description}\nrun folder: {folder.path}")
    if request.resume is None and not is_follower():
        folder.write_config(request.tree, request.system)

    layouts = setup.build_layouts(request.domain, config.data)
    data = DataModule(layouts, processors, config.data, seed=config.seed, masks=task.masks, mask_of=modalities)
    if not source.fitted:
        data.fit_processors()
    data.prepare(SPLITS, bad_csv=folder.path / "bad_records.csv", progress=reading_progress())
    take_labels(data, config.label_fraction, config.seed)
    say(f"data: {layouts['train'].name}: " + ", ".join(f"{len(data.indices[s])} {s}" for s in SPLITS))

    encoder = source.encoder(config.init, config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 2)
        model = Downstream(
            task.head(encoder, config.modality, data), encoder=encoder, modality=modalities, frozen=config.freeze
        )
    paths = ("from_run", "towers")  # they may change, the weights may not
    kept = {k: v for k, v in tree.items() if k not in paths}
    facts = {**run_facts(kept, data, compute), "encoder": source.fingerprint(config.init)}
    if request.resume is not None:
        go_on(folder, resume, facts, config.trainer.max_steps)
    task.begin(model, data, compute)
    module = TrainingModule(
        model, Objective(terms=task.terms(), teachers=task.teachers()), optim=config.optim,
        trainer=config.trainer, seed=config.seed, make_loader=data.train_loader, resume=resume,
    )  # fmt: skip
    throughput = fit(
        module, folder, compute, config, facts, what=request.system or "finetune",
        measure_val=lambda: task.validate(model, data, compute), watch=task.watch, resume=resume,
    )  # fmt: skip
    if is_follower():
        return

    best = checkpoint.take_best(folder.checkpoints, module) if config.choose == "best" else None
    if best is not None:
        say(f"weights of step {best}, the best on validation")
    say("scoring the test split")
    model.to(compute.device).eval()
    outcome = task.evaluate(model, data, compute, folder=folder.path, n_bootstrap=config.bootstrap, seed=config.seed)
    summary: dict[str, Any] = {
        **outcome.numbers,
        "steps": config.trainer.max_steps,
        **({} if best is None else {"best_step": best}),
        "parameters": sum(p.numel() for p in model.parameters()),
        "samples_per_s": throughput.overall,
        "train_wall_s": throughput.seconds,
        "wall_s": time.time() - folder.started,
        "peak_rss_mb": peak_rss_mb(),
        "seed": config.seed,
        "init": config.init,
        "label_fraction": config.label_fraction,
        "data": layouts["test"].name,
        "data_simulated": int(layouts["test"].simulated),
        "split": data.split_hash(),
        **{f"records/{split}": len(data.indices[split]) for split in SPLITS},
    }
    save_finetuned(
        folder.path, model, encoder_node=source.model_node, task_node=tree["task"],
        facts=task.facts(config.modality, data), processors=processors,
        processor_nodes=source.processor_nodes(config.data.processors), shares=source.own,
    )  # fmt: skip
    folder.write_summary(summary)
    facts_shown = environment(compute.threads)
    report = finetune_report(request, folder, task, data, outcome, summary, facts_shown)
    print()
    for rule, value in outcome.protocol.items():
        print(f"{rule}: {value}")
    for title, (columns, rows) in outcome.tables.items():
        print(f"\n{title}")
        show_table(columns, rows)
    print(f"\nreport  {report}\nfigures {folder.path / 'summary.json'}", flush=True)


def find_source(request: Request, config: FinetuneConfig) -> Source:
    """The fine-tuned runs or the pretrained run asked for, or the newest; the architecture alone when training from
    scratch without one."""
    path, modalities = config.from_run, named(config.modality)
    if config.towers:
        return TowerSource(config.towers, modalities)
    pretrained = [config.shares.get(name, name) for name in modalities]
    if path is None and request.resume is None:  # a resumed run keeps the source that it began with
        path = newest_run(request.domain)
    if path is not None:
        path = path.absolute()
        saved: SavedModel | None = SavedModel.from_pretrained(path)
        assert saved is not None
        for name in pretrained:
            if name not in saved.processors:
                raise ConfigError(f"modality: {path} has no '{name}'{nearest(name, saved.processors)}")
        tree: Tree = {"model": saved.model_node, "processors": saved.processor_nodes}
    else:
        if config.init == "pretrained":
            raise ConfigError(
                f"no pretrained run under runs/{request.domain}: run `python -m domains.{request.domain}.pretrain` "
                f"first, give one with --from_run DIR, or train without one: --init scratch"
            )
        name = config.pretrain_system or domain_info(request.domain)["default"]["pretrain"]
        system = load_system(find_system(name, CONFIGS / request.domain / "pretrain"))
        saved, tree = None, {"model": system["model"], "processors": system["data"]["processors"]}
        for modality in pretrained:
            if modality not in tree["processors"]:
                hint = nearest(modality, tree["processors"])
                raise ConfigError(f"modality: system '{name}' has no '{modality}'{hint}")
    return Source(path=path, saved=saved, tree=tree, modalities=modalities, shares=config.shares)


def take_labels(data: DataModule, fraction: float, seed: int) -> None:
    """Keep a share of the training groups: the subset that probes of the same share and seed use."""
    if fraction < 1:
        indices = data.indices["train"]
        groups = [data.layouts["train"].record(i).group for i in indices]
        data.indices["train"] = [indices[i] for i in subset(groups, len(groups), fraction=fraction, seed=seed)]


def show_table(columns: list[str], rows: list[list[Any]]) -> None:
    """A table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*[str(cell) for cell in row])
    Console().print(table)
