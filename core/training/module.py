"""The one training loop of the suite, as a Lightning module: a model, an objective, and a step that is a function of
(seed, step).

Pretraining and fine-tuning differ in the objective they are given, not in this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from core.config.schema import OptimSettings, TrainerSettings
from core.data.bad_records import reference
from core.errors import HeptadError
from core.objectives.base import Objective, Step
from core.objectives.gradient_cache import CachedStep
from core.training.checkpoint import Checkpoint, restore_optimizer
from core.training.optim import lr_factor, make_optimizer, set_lr
from core.types import Batch

_MIX = 0x9E3779B97F4A7C15  # odd: distinct (seed, step, rank) stay distinct


class TrainingError(HeptadError):
    """Training cannot go on: a loss or a gradient is not finite."""


def seed_of(seed: int, step: int, rank: int = 0) -> int:
    """The seed of one step on one process."""
    return ((seed * _MIX) ^ (step * 0xBF58476D1CE4E5B9) ^ (rank * 0x94D049BB133111EB)) & (2**63 - 1)


def seed_generators(key: int) -> None:
    """`torch.manual_seed` for the devices that are there. That one also notes the seed, with a formatted traceback, for
    each kind of device that is not: a millisecond of every step."""
    torch.default_generator.manual_seed(key)
    for device in (torch.cuda, torch.mps, torch.xpu):
        if device.is_available():
            device.manual_seed_all(key) if hasattr(device, "manual_seed_all") else device.manual_seed(key)


class TrainingModule(L.LightningModule):
    """Trains `model` by `objective` from step `start` to `total`.

    make_loader(start=, rank=, world=) gives the batches of the remaining steps. `logs` holds the last step's values.
    Raises TrainingError before the optimiser step when the loss or the gradient is not finite.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        *,
        optim: OptimSettings,
        trainer: TrainerSettings,
        seed: int,
        make_loader: Callable[..., DataLoader[Batch]],
        resume: Checkpoint | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        objective.attach(model)
        self.optim, self.settings, self.seed = optim, trainer, seed
        self._make_loader = make_loader
        self._resume = resume
        self.start = 0 if resume is None else resume.step
        self.total = trainer.max_steps
        self.logs: dict[str, float] = {}
        self._epoch_steps: int | None = None
        self.train()  # what comes from a saved model is in evaluation mode, and the trainer leaves modes alone
        if resume is not None:
            self.load_state_dict(resume.weights)

    @property
    def done(self) -> int:
        """Optimiser steps taken since the run's first start."""
        return self.start + self.global_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = make_optimizer(self, self.optim)
        if self._resume is not None:
            restore_optimizer(optimizer, self._resume.optimizer)
        return optimizer

    def train_dataloader(self) -> DataLoader[Batch]:
        loader = self._make_loader(
            total=self.total, start=self.start, rank=self.trainer.global_rank, world=self.trainer.world_size
        )
        self._epoch_steps = getattr(loader.batch_sampler, "steps_per_epoch", None)
        return loader

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device, non_blocking=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        step = self.done
        if self._epoch_steps is not None and step % self._epoch_steps == 0:
            self.objective.on_epoch(self.model, step // self._epoch_steps)  # type: ignore[arg-type]
        key = seed_of(self.seed, step, self.global_rank)
        seed_generators(key)  # dropout and the like: a function of the step, so a resumed run draws the same
        lr = set_lr(self.optimizers(use_pl_optimizer=False), lr_factor(step, self.total, self.optim))  # type: ignore[arg-type]
        loss, logs = self.objective(self.make_step(batch, step))
        value = float(loss.detach())
        if not math.isfinite(value):
            parts = ", ".join(f"{name}={float(v):.4g}" for name, v in logs.items() if name.endswith("/loss"))
            raise TrainingError(
                f"step {step}: the loss is {value} ({parts}){_not_finite(batch)}, no update was made. The last "
                "checkpoint is whole. Lower --optim.lr, set --trainer.precision 32, or look for extreme values in the "
                "data"
            )
        self.logs = {"loss": value, "lr": lr, **{name: float(v) for name, v in logs.items()}}
        return loss

    def make_step(self, batch: Batch, index: int) -> Step:
        """The step that terms see, with its own generator."""
        generator = torch.Generator().manual_seed(seed_of(self.seed + 1, index, self.global_rank))
        make = partial(CachedStep, micro_batch=self.settings.micro_batch) if self.settings.micro_batch else Step
        return make(
            model=self.model,  # type: ignore[arg-type]
            batch=batch,
            index=index,
            generator=generator,
            teachers=self.objective.teacher_models(),
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        limit = self.settings.gradient_clip or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_([p for p in self.parameters() if p.grad is not None], limit))
        if not math.isfinite(norm) and self.trainer.precision != "16-mixed":  # the fp16 scaler skips such steps itself
            raise TrainingError(
                f"step {self.done}: the gradient is not finite, no update was made. The last checkpoint is whole. "
                f"Lower --optim.lr or set --trainer.precision 32"
            )
        self.logs["grad_norm"] = norm

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """The update, and what terms do after it: here, and not at the end of the batch, where callbacks come first
        and a checkpoint would miss it."""
        super().optimizer_step(*args, **kwargs)
        self.objective.after_step(self.model, self.done + 1)  # type: ignore[arg-type]


def _not_finite(batch: Batch) -> str:
    """Which inputs of a batch are to blame; empty when none is."""
    found = []
    for modality, inp in batch.inputs.items():
        if inp.x.is_floating_point():
            rows_B = batch.present[modality].nonzero(as_tuple=True)[0]
            bad_V = ~torch.isfinite(inp.x).flatten(1).all(dim=1)
            found += [f"{modality} of {reference(batch.ids[row])}" for row in rows_B[bad_V.to(rows_B.device)].tolist()]
    return f", with values that are not finite in {', '.join(found[:4])}" if found else ""
