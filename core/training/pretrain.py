"""`pretrain`: read data, train, evaluate on held-out data, save the model, write the report."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.config.schema import PretrainConfig
from core.config.tree import Tree
from core.data.datamodule import DataModule
from core.data.processor import Processor
from core.errors import DataError
from core.hub import SavedModel, begin_with
from core.models.dual_encoder import DualEncoder
from core.training import checkpoint, setup
from core.training.callbacks import Checkpoints, Metrics, Progress, Throughput, Validate
from core.training.cli import Request
from core.training.figures import build_figures, measured_figures
from core.training.measure import check_headline, measure, validation
from core.training.module import TrainingModule
from core.training.precision import Compute, resolve
from core.training.reporting import modality_names, model_card, pretrain_report
from core.training.run_folder import RUN_DIR, RunFolder, environment, is_follower, peak_rss_mb

SPLITS = ("train", "val", "test")


def run(request: Request) -> None:
    """Run the request to its end; raises a HeptadError for what the user can mend."""
    config = setup.check(request, PretrainConfig)
    request = replace(request, tree=setup.resolved(config))
    model = setup.build_model(config.model, config.seed)
    objective = setup.build_objective(config.objectives, config.seed, config.teachers)
    processors = setup.read_by(model, setup.build_processors(config.data.processors))
    nodes = {modality: config.data.processors[modality] for modality in processors}
    setup.check_parts(model, objective, processors)
    check_headline(model, processors, config.evaluation)
    figures = build_figures(config.evaluation.figures, model)
    folder = RunFolder.of(request, config.run_dir)
    resume = resume_point(request, folder)
    compute = resolve(config.trainer, threads=None if resume is None else resume.facts.get("threads"))
    say(f"{request.domain} pretrain {request.system}  ({compute})")
    say(f"run folder: {folder.path}")
    if request.resume is None and not is_follower():
        folder.write_config(request.tree, request.system)
    begun, fitted = "", list[str]()
    if config.init_from is not None:
        begun, fitted = begin_with(model, processors, config.init_from, config.init_parts)
        what = ", ".join(config.init_parts) or "the weights and tokenizers"
        say(f"begins with {what} of {config.init_from}")
    elif model.frozen:
        say(
            f"note: {', '.join(model.frozen)} stays as it was drawn, at random; give a trained one with --init_from RUN"
        )
    data = open_data(request.domain, config, processors, folder, fitted, masks=objective.masks)
    setup.check_fit(model, data.processors, data.layouts)
    objective.check(data.processors)
    kept = {k: v for k, v in request.tree.items() if k != "init_from"}  # its path may change, its weights may not
    facts = {**run_facts(kept, data, compute), **({"init_from": begun} if begun else {})}
    if request.resume is not None:
        go_on(folder, resume, facts, config.trainer.max_steps)

    module = TrainingModule(
        model, objective, optim=config.optim, trainer=config.trainer, seed=config.seed,
        make_loader=data.train_loader, resume=resume,
    )  # fmt: skip
    throughput = fit(
        module, folder, compute, config, facts, what=request.system or "pretrain",
        measure_val=lambda: (
            validation(model, data, config.evaluation, compute)
            | measured_figures(figures, model, data, split="val", compute=compute, seed=config.seed, n_bootstrap=1)
        ),
        watch=config.evaluation.watch, resume=resume,
    )  # fmt: skip
    if is_follower():
        return

    model.to(compute.device)
    scale = _scale_of(objective)
    measured = measure(
        model, data, config.evaluation, compute, split="test", seed=config.seed, scale=scale, figures=figures, tell=say,
        untrained=(lambda: _fresh(config, compute)) if config.evaluation.untrained_baseline else None,
    )  # fmt: skip
    layout = data.layouts["test"]
    summary: dict[str, Any] = {
        **measured.numbers,
        **modality_names(measured),
        "steps": config.trainer.max_steps,
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameters_trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "samples_per_s": throughput.overall,
        "train_wall_s": throughput.seconds,
        "wall_s": time.time() - folder.started,
        "peak_rss_mb": peak_rss_mb(),
        "seed": config.seed,
        "data": layout.name,
        "data_simulated": int(layout.simulated),
        "data_fingerprint": facts["data"],
        **({"init_from": begun} if begun else {}),
        **{f"records/{split}": len(data.indices[split]) for split in SPLITS},
        **{f"records_skipped/{split}": data.skipped[split] for split in SPLITS},
    }
    about = {
        "domain": request.domain,
        "system": request.system,
        "data": layout.name,
        "simulated": layout.simulated,
        "licence": layout.licence,
        "logit_scale": scale,
        "prompts": config.evaluation.prompts,
        "prompts_as": config.evaluation.prompts_as,
        "figures": config.evaluation.figures,
    }
    saved = SavedModel(
        model=model.cpu(),
        model_node=config.model,
        processors=data.processors,
        processor_nodes=nodes,
        about=about,
    )
    facts_shown = environment(compute.threads)
    saved.save_pretrained(folder.model, card=model_card(request, about, summary, facts_shown, measured.headline))
    folder.write_summary(summary)
    report = pretrain_report(request, folder, config.evaluation, data, measured, summary, facts_shown)
    for note in measured.notes:
        say(f"note: {note}")
    show_results(folder, report, summary, measured.headline)


def open_data(
    domain: str,
    config: PretrainConfig,
    processors: Mapping[str, Processor],
    folder: RunFolder,
    fitted: Collection[str] = (),
    masks: Sequence[str] = (),
) -> DataModule:
    """Layouts, fitted processors and a filled cache. fitted: modalities whose processors are not to be fitted anew.
    masks: dense labels that objectives read, on the grid of the first image or volume of a record."""
    layouts = setup.build_layouts(domain, config.data)
    carriers = [name for name, processor in processors.items() if processor.modality_kind != "text"] if masks else []
    data = DataModule(layouts, processors, config.data, seed=config.seed, masks=masks, mask_of=carriers)
    setup.check_masks(masks, layouts)
    data.fit_processors(fitted)
    data.prepare(SPLITS, bad_csv=folder.path / "bad_records.csv", progress=reading_progress())
    counts = ", ".join(f"{len(data.indices[s])} {s}" for s in SPLITS)
    layout = layouts["train"]
    say(f"data: {layout.name}{' (SIMULATED)' if layout.simulated else ''}: {counts}")
    return data


def resume_point(request: Request, folder: RunFolder) -> checkpoint.Checkpoint | None:
    """The newest whole checkpoint of the run that a request resumes; None for a new run, or before the first one."""
    return None if request.resume is None else checkpoint.load_latest(folder.checkpoints)


def go_on(folder: RunFolder, resume: checkpoint.Checkpoint | None, facts: dict[str, Any], total: int) -> None:
    """Make sure that a run continues to the same result, and forget what was measured after its checkpoint."""
    if resume is not None:
        checkpoint.refuse_change(resume, facts)
    step = 0 if resume is None else resume.step
    folder.truncate_metrics(step)
    say(f"continuing from step {step} of {total}")


def fit(
    module: TrainingModule,
    folder: RunFolder,
    compute: Compute,
    config: Any,
    facts: dict[str, Any],
    *,
    what: str,
    measure_val: Callable[[], dict[str, float]],
    watch: str,
    resume: checkpoint.Checkpoint | None,
) -> Throughput:
    """Train to the last step; returns the clock of the training."""
    import lightning as L

    throughput = Throughput()
    best = None
    if resume is not None:
        throughput.seconds, throughput.samples = resume.progress["train_seconds"], resume.progress["samples"]
        best = resume.progress["best"]
    if module.start >= module.total:
        return throughput
    settings = config.trainer
    validate = Validate(folder, throughput, measure_val, every=settings.validate_every, watch=watch, best=best)
    callbacks: list[L.Callback] = [throughput, Metrics(folder, throughput, settings.log_every)]
    if settings.progress:
        callbacks.append(Progress(throughput, what=what))
    callbacks += [
        validate,
        Checkpoints(folder, throughput, validate, every=settings.checkpoint_every, facts=facts),
    ]
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # frozen encoders
        trainer = L.Trainer(
            accelerator=settings.accelerator if settings.accelerator != "auto" else compute.device.type,
            devices=settings.devices,
            strategy="ddp_find_unused_parameters_true" if settings.devices > 1 else "auto",
            precision=compute.lightning_precision,
            max_steps=module.total - module.start,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            inference_mode=False,
            callbacks=callbacks,
        )
        if settings.devices > 1:
            os.environ[RUN_DIR] = str(folder.path.absolute())  # for the processes that the trainer starts
        with loader_faults(config.data.worker_timeout):
            trainer.fit(module)
    if module.done < module.total:
        raise KeyboardInterrupt
    return throughput


@contextmanager
def loader_faults(timeout: int) -> Iterator[None]:
    """Faults of loader processes as one message: torch wraps them in its own words, and in tracebacks."""
    try:
        yield
    except DataError as err:
        _, wrapped, message = str(err).rpartition("core.errors.DataError: ")
        if not wrapped:
            raise
        raise DataError(message.strip()) from None
    except RuntimeError as err:
        if not str(err).startswith("DataLoader"):
            raise
        raise DataError(
            f"a loader process died or gave nothing for {timeout} s ({str(err).splitlines()[0]}); it may have run out "
            "of memory. Give fewer --data.workers (0 loads in the training process), or more --data.worker_timeout"
        ) from err


def run_facts(tree: Tree, data: DataModule, compute: Compute) -> dict[str, Any]:
    """What a resumed run must share with its beginning to end in the same weights."""
    return {
        "config": {k: v for k, v in tree.items() if k not in ("run_dir", "seed")},
        "data": data.fingerprint(),
        "seed": tree["seed"],
        "threads": compute.threads,
        "device": compute.device.type,
        "processor": torch.backends.cpu.get_cpu_capability(),  # the instruction set that kernels were written for
        "precision": compute.precision,
        "torch": torch.__version__,
        "numpy": np.__version__,  # augmentation is its
    }


def _fresh(config: PretrainConfig, compute: Compute) -> DualEncoder:
    return setup.build_model(config.model, config.seed).to(compute.device)


def _scale_of(objective: torch.nn.Module) -> float:
    """Logit scale of the first contrastive term, which zero-shot probabilities use."""
    from core.objectives.contrast.scale import Scale

    scales = [module for module in objective.modules() if isinstance(module, Scale)]
    return float(scales[0].value().detach()) if scales else 1.0


def reading_progress() -> Callable[[str, int, int], None]:
    """Prints how many records of a split are read: in place on a terminal, at quarters elsewhere."""
    shown: dict[str, int] = {}

    def tell(what: str, done: int, of: int) -> None:
        if is_follower():
            return
        if sys.stderr.isatty():
            end = "\n" if done == of else ""
            print(f"\rreading {what}: {done}/{of}", end=end, file=sys.stderr, flush=True)
        elif done * 4 // of > shown.get(what, 0):
            shown[what] = done * 4 // of
            print(f"reading {what}: {done}/{of}", file=sys.stderr, flush=True)

    return tell


def say(text: str) -> None:
    """One line for the person at the terminal."""
    if not is_follower():
        print(text, file=sys.stderr, flush=True)


def show_results(folder: RunFolder, report: Path, summary: dict[str, Any], further: Mapping[str, str]) -> None:
    """The last lines on screen: what was achieved, and where it lies."""
    from core.training.reporting import headline

    print()
    for line in headline(summary, further=further):
        print(line)
    print(f"\nreport  {report}\nmodel   {folder.model}\nfigures {folder.path / 'summary.json'}", flush=True)
