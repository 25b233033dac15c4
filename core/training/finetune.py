"""`finetune`: a downstream task on the encoder of a pretrained run, or on the same encoder from scratch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from core.config.schema import FinetuneConfig
from core.config.tree import Tree, find_system, load_system, merge
from core.data.datamodule import DataModule
from core.encoders.base import Encoder
from core.errors import ConfigError, nearest
from core.evaluation.label_efficiency import subset
from core.files import write_atomic
from core.hub import SavedModel
from core.objectives.base import Objective
from core.training import checkpoint, setup
from core.training.cli import CONFIGS, Request, domain_info
from core.training.module import TrainingModule
from core.training.precision import resolve
from core.training.pretrain import SPLITS, fit, reading_progress, run_facts, say
from core.training.reporting import finetune_report
from core.training.run_folder import RunFolder, environment, newest_run, peak_rss_mb
from core.training.tasks import Downstream, Task


def run(request: Request) -> None:
    """Run the request to its end; raises a HeptadError for what the user can mend."""
    config = setup.check(request, FinetuneConfig)
    compute = resolve(config.trainer)
    source = find_source(request, config)
    folder = RunFolder.of(request, config.run_dir)
    say(f"{request.domain} finetune {request.system}  ({compute})")
    say(f"encoder: {source.description}\nrun folder: {folder.path}")
    if request.resume is None:
        tree = {**request.tree, "from_run": None if source.path is None else str(source.path)}
        folder.write_config(tree, request.system)
    request.tree.pop("from_run", None)

    task: Task = setup.build(config.task)
    nodes = merge({config.modality: source.processor}, dict(config.data.processors))
    processors = setup.build_processors({config.modality: nodes[config.modality]})
    layouts = setup.build_layouts(request.domain, config.data)
    data = DataModule(layouts, processors, config.data, seed=config.seed, masks=task.masks, mask_of=config.modality)
    data.prepare(SPLITS, bad_csv=folder.path / "bad_records.csv", progress=reading_progress())
    take_labels(data, config.label_fraction, config.seed)
    say(f"data: {layouts['train'].name}: " + ", ".join(f"{len(data.indices[s])} {s}" for s in SPLITS))

    encoder = source.encoder(config.init, config.seed)
    if config.freeze:
        encoder.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 2)
        model = Downstream(task.head(encoder, config.modality, data), encoder=encoder, modality=config.modality)
    facts = {**run_facts(request, data, compute, config.seed), "encoder": source.fingerprint(config.init)}
    resume = None
    if request.resume is not None:
        resume = checkpoint.load_latest(folder.checkpoints)
        if resume is not None:
            checkpoint.refuse_change(resume, facts)
        folder.truncate_metrics(0 if resume is None else resume.step)
    module = TrainingModule(
        model, Objective(terms=task.terms()), optim=config.optim, trainer=config.trainer, seed=config.seed,
        make_loader=data.train_loader, resume=resume,
    )  # fmt: skip
    throughput = fit(
        module, folder, compute, config, facts, what=request.system or "finetune",
        measure_val=lambda: task.validate(model, data, compute), watch=task.watch, resume=resume,
    )  # fmt: skip

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
    save_weights(folder, model)
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

    def __init__(self, *, path: Path | None, model_node: Tree, processor: Tree, modality: str) -> None:
        self.path, self.model_node, self.processor, self.modality = path, model_node, processor, modality

    @property
    def description(self) -> str:
        return str(self.path) if self.path is not None else "built from its system's YAML"

    def encoder(self, init: str, seed: int) -> Encoder:
        """The encoder with pretrained weights, or with fresh ones that depend on the seed alone."""
        if init == "scratch" or self.path is None:
            return setup.build_model(self.model_node, seed).encoder_of(self.modality)
        return SavedModel.from_pretrained(self.path).model.encoder_of(self.modality)

    def fingerprint(self, init: str) -> str:
        if init == "scratch" or self.path is None:
            return "scratch"
        from core.files import sha256_of

        folder = self.path / "model" if (self.path / "model").is_dir() else self.path
        return sha256_of(folder / "model.safetensors")[:16]


def find_source(request: Request, config: FinetuneConfig) -> Source:
    """The pretrained run asked for, or the newest; the architecture alone when training from scratch without one."""
    path = config.from_run or newest_run(request.domain)
    if path is not None:
        saved = SavedModel.from_pretrained(path)
        if config.modality not in saved.processors:
            raise ConfigError(
                f"modality: {path} has no '{config.modality}'{nearest(config.modality, saved.processors)}"
            )
        node, processors = saved.model_node, saved.processor_nodes
    else:
        if config.init == "pretrained":
            raise ConfigError(
                f"no pretrained run under runs/{request.domain}: run `python -m domains.{request.domain}.pretrain` "
                f"first, give one with --from_run DIR, or train without one: --init scratch"
            )
        name = config.system or domain_info(request.domain)["default"]["pretrain"]
        tree = load_system(find_system(name, CONFIGS / request.domain / "pretrain"))
        node, processors = tree["model"], tree["data"]["processors"]
        if config.modality not in processors:
            raise ConfigError(f"modality: system '{name}' has no '{config.modality}'")
    return Source(path=path, model_node=node, processor=processors[config.modality], modality=config.modality)


def take_labels(data: DataModule, fraction: float, seed: int) -> None:
    """Keep a share of the training groups: the subset that probes of the same share and seed use."""
    if fraction < 1:
        indices = data.indices["train"]
        groups = [data.layouts["train"].record(i).group for i in indices]
        data.indices["train"] = [indices[i] for i in subset(groups, len(groups), fraction=fraction, seed=seed)]


def save_weights(folder: RunFolder, model: Downstream) -> None:
    """The fine-tuned weights, beside config.yaml, which says how to build what they belong to."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(folder.path / "finetuned.safetensors", save(state))


def show_table(columns: list[str], rows: list[list[Any]]) -> None:
    """A table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*[str(cell) for cell in row])
    Console().print(table)
