"""`finetune`: a downstream task on the encoder of a pretrained run, or on the same encoder from scratch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from core.config.schema import FinetuneConfig
from core.config.tree import Tree, find_system, load_system, merge
from core.data.datamodule import DataModule
from core.data.dataset import named
from core.data.processor import Processor
from core.encoders.base import Encoder
from core.errors import ConfigError, nearest
from core.evaluation.label_efficiency import subset
from core.files import sha256_of
from core.hub import SavedModel, locate
from core.objectives.base import Objective
from core.training import setup
from core.training.cli import CONFIGS, Request, domain_info
from core.training.finetuned import encoded, save_finetuned
from core.training.module import TrainingModule
from core.training.precision import resolve
from core.training.pretrain import SPLITS, fit, go_on, reading_progress, resume_point, run_facts, say
from core.training.reporting import finetune_report
from core.training.run_folder import RunFolder, environment, is_follower, newest_run, peak_rss_mb
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
    if source.saved is None:
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
    kept = {k: v for k, v in tree.items() if k != "from_run"}  # its path may change, its weights may not
    facts = {**run_facts(kept, data, compute), "encoder": source.fingerprint(config.init)}
    if request.resume is not None:
        go_on(folder, resume, facts, config.trainer.max_steps)
    module = TrainingModule(
        model, Objective(terms=task.terms()), optim=config.optim, trainer=config.trainer, seed=config.seed,
        make_loader=data.train_loader, resume=resume,
    )  # fmt: skip
    throughput = fit(
        module, folder, compute, config, facts, what=request.system or "finetune",
        measure_val=lambda: task.validate(model, data, compute), watch=task.watch, resume=resume,
    )  # fmt: skip
    if is_follower():
        return

    say("scoring the test split")
    model.to(compute.device).eval()
    outcome = task.evaluate(model, data, compute, folder=folder.path, n_bootstrap=config.bootstrap, seed=config.seed)
    summary: dict[str, Any] = {
        **outcome.numbers,
        "steps": config.trainer.max_steps,
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


class Source:
    """Where the encoder comes from: a saved model, or the description of one."""

    def __init__(
        self, *, path: Path | None, saved: SavedModel | None, tree: Tree, modalities: tuple[str, ...],
        shares: Mapping[str, str],
    ) -> None:  # fmt: skip
        """tree: the `model` and `processors` nodes. saved: what is at `path`. shares: see `FinetuneConfig`."""
        self.path, self.saved, self.modalities = path, saved, modalities
        self.model_node: Tree = tree["model"]
        self.own = {name: shares.get(name, name) for name in modalities}  # modality -> its pretrained one
        self.nodes: Tree = {name: tree["processors"][own] for name, own in self.own.items()}

    @property
    def description(self) -> str:
        return str(self.path) if self.path is not None else "built from its system's YAML"

    def encoder(self, init: str, seed: int) -> Encoder:
        """The encoder with pretrained weights, or with fresh ones that depend on the seed alone."""
        if init == "scratch" or self.saved is None:
            return setup.build_model(self.model_node, seed).encoder_of_all(encoded(self.own))
        return self.saved.model.encoder_of_all(encoded(self.own))

    def processors(self, changes: Mapping[str, Tree]) -> dict[str, Processor]:
        """The modalities' processors as they were pretrained with, or with `changes` laid over their nodes."""
        for modality in changes:
            if modality not in self.modalities:
                raise ConfigError(f"data.processors: fine-tuning reads {', '.join(self.modalities)}, not '{modality}'")
        if not changes and self.saved is not None:
            return {name: self.saved.processors[own] for name, own in self.own.items()}
        nodes = self.processor_nodes(changes)
        setup.check_processors(nodes)
        processors = setup.build_processors(nodes)
        if self.saved is not None and self.path is not None:
            for name, processor in processors.items():
                processor.restore(locate(self.path) / "processors" / self.own[name])
        return processors

    def processor_nodes(self, changes: Mapping[str, Tree]) -> dict[str, Tree]:
        """The modalities' processor nodes, with `changes` laid over them."""
        changed = {  # on the command line `init_args` may be left out
            modality: node if {"class_path", "init_args"} & set(node) else {"init_args": node}
            for modality, node in changes.items()
        }
        return merge(self.nodes, changed)

    def fingerprint(self, init: str) -> str:
        if init == "scratch" or self.path is None:
            return "scratch"
        return sha256_of(locate(self.path) / "model.safetensors")[:16]


def find_source(request: Request, config: FinetuneConfig) -> Source:
    """The pretrained run asked for, or the newest; the architecture alone when training from scratch without one."""
    path, modalities = config.from_run, named(config.modality)
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
