"""Models beside the one under training: they see the same step and get no gradient.

A teacher's weights are part of the objective's state, so a resumed run has them.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from core.data.processor import Processor
    from core.hub import SavedModel


class Teacher(nn.Module, ABC):
    """`model` exists after `attach`. Always in evaluation mode, never trained."""

    model: nn.Module

    def check(self, processors: Mapping[str, Processor]) -> None:
        """Called once before `attach`, with the student's fitted processors. Raises ConfigError where the teacher would
        read what they make as something else."""

    @abstractmethod
    def attach(self, student: nn.Module) -> None:
        """Called once, before anything is restored or trained."""

    def before_forward(self, student: nn.Module, index: int) -> None:
        """Called once per step before any term runs. index: global step."""

    def after_step(self, student: nn.Module, index: int) -> None:
        """Called after the optimiser step."""

    def on_epoch(self, student: nn.Module, epoch: int) -> None:
        """Called at the start of each epoch."""

    def train(self, mode: bool = True) -> Teacher:
        return super().train(False)


class MomentumTeacher(Teacher):
    """theta_m <- m theta_m + (1 - m) theta after every optimiser step, in float32; buffers are copied.

    decay: m, or the start of a cosine rise to `final` over `steps` (iBOT: 0.996 to 1). Starts as a copy of the student,
    so that an update before the forward of step 0 (ALBEF) or after it makes no difference.
    """

    def __init__(self, *, decay: float = 0.995, final: float | None = None, steps: int | None = None) -> None:
        super().__init__()
        if not 0 <= decay <= 1 or (final is not None and not decay <= final <= 1):
            raise ConfigError(f"MomentumTeacher: decay {decay}, final {final}; needs 0 <= decay <= final <= 1")
        if (final is None) != (steps is None):
            raise ConfigError("MomentumTeacher: give final and steps together, or neither")
        self.decay, self.final, self.steps = decay, final, steps

    def attach(self, student: nn.Module) -> None:
        self.model = frozen_copy(student)

    def momentum(self, index: int) -> float:
        """m of the update after `index` optimiser steps."""
        if self.final is None or self.steps is None:
            return self.decay
        share = min(1.0, index / max(1, self.steps))
        return self.final - (self.final - self.decay) * 0.5 * (1 + float(torch.tensor(torch.pi * share).cos()))

    @torch.no_grad()
    def after_step(self, student: nn.Module, index: int) -> None:
        blend(self.model, {name: p.detach() for name, p in student.named_parameters()}, 1 - self.momentum(index))
        copy_buffers(self.model, student)


class PartMomentum(MomentumTeacher):
    """A momentum teacher of some parts of the model; all others are those of the student, as it is.

    UniGraph (He et al. 2025): the graph layers follow slowly, the text encoder is the current one. The published order
    blends after each forward, that is with the student before the same step's update; here after it.
    """

    def __init__(
        self, *, parts: Sequence[str], decay: float = 0.995, final: float | None = None, steps: int | None = None
    ) -> None:
        """parts: beginnings of parameter names, such as `encoders.graph.graph`."""
        super().__init__(decay=decay, final=final, steps=steps)
        if not parts:
            raise ConfigError("PartMomentum: parts is empty; name what follows slowly, or take MomentumTeacher")
        self.parts = tuple(parts)

    def attach(self, student: nn.Module) -> None:
        names = [name for name, _ in student.named_parameters()]
        for part in self.parts:
            if not any(name.startswith(f"{part}.") or name == part for name in names):
                raise ConfigError(f"PartMomentum: the model has no parameter below '{part}'{nearest(part, names)}")
        super().attach(student)

    @torch.no_grad()
    def after_step(self, student: nn.Module, index: int) -> None:
        now = {name: p.detach() for name, p in student.named_parameters()}
        slow = {n: p for n, p in now.items() if any(n == part or n.startswith(f"{part}.") for part in self.parts)}
        blend(self.model, slow, 1 - self.momentum(index))
        blend(self.model, {n: p for n, p in now.items() if n not in slow}, 1.0)
        copy_buffers(self.model, student)


class CompatibleMomentum(Teacher):
    """theta_m <- keep theta_m + new theta + old theta_old after every optimiser step, in float32; buffers are copied.

    The teacher of a later task of CTP (Zhu et al. 2023): between the student and theta_old, the student as it was when
    the task began, so that it learns the new without leaving the old. Made anew from the student at each task's start,
    that is by `attach` of a run with `init_from`; the first task has no old model and takes `MomentumTeacher`.
    Costs two models of memory. Raises ConfigError unless the three shares are >= 0 and sum to 1.
    """

    start: nn.Module

    def __init__(self, *, keep: float = 0.9, new: float = 0.05, old: float = 0.05) -> None:
        super().__init__()
        if min(keep, new, old) < 0 or abs(keep + new + old - 1) > 1e-6:
            raise ConfigError(
                f"CompatibleMomentum: keep {keep}, new {new}, old {old}; give three shares >= 0 that sum to 1, for "
                "instance 0.9, 0.05, 0.05"
            )
        self.keep, self.new, self.old = keep, new, old

    def attach(self, student: nn.Module) -> None:
        self.model = frozen_copy(student)
        self.start = frozen_copy(student)

    @torch.no_grad()
    def after_step(self, student: nn.Module, index: int) -> None:
        own: list[Tensor] = list(self.model.parameters())
        then: list[Tensor] = list(self.start.parameters())
        now = [p.detach().to(o) for p, o in zip(student.parameters(), own, strict=True)]
        torch._foreach_mul_(own, self.keep)
        torch._foreach_add_(own, now, alpha=self.new)
        torch._foreach_add_(own, then, alpha=self.old)
        copy_buffers(self.model, student)


class FrozenTeacher(Teacher):
    """A model that stays as it is: the student when training began, or a saved model.

    saved: a run or a saved model, read when training begins; None for a copy of the student, which with `init_from` is
    the model that earlier tasks left. It sees the batch as the student's processors made it, so a saved model must have
    been trained with equal ones. Its weights are part of a checkpoint. Raises CheckpointError for a saved model that
    cannot be read.
    """

    def __init__(self, *, saved: Path | None = None) -> None:
        super().__init__()
        self.saved = saved

    def check(self, processors: Mapping[str, Processor]) -> None:
        if self.saved is None:
            return
        known = self._load().processors
        other = [m for m in processors if m in known and processors[m].fingerprint() != known[m].fingerprint()]
        if other:
            raise ConfigError(
                f"the teacher of {self.saved} was trained with another processor or vocabulary of {', '.join(other)}, "
                "so it would misread the student's input; train both on the same data (--data.root, --data.limit) with "
                "equal data.processors, or begin with the teacher's own vocabulary by --init_from"
            )

    def attach(self, student: nn.Module) -> None:
        if self.saved is None:
            self.model = frozen_copy(student)
        else:
            self.model = self._load().model.requires_grad_(False).eval()

    def _load(self) -> SavedModel:
        from core.hub import SavedModel  # which imports models, processors and this package's users

        assert self.saved is not None
        return SavedModel.from_pretrained(self.saved)


class SavedTeacher(FrozenTeacher):
    """`FrozenTeacher` of a saved model that has to be named, for systems that mean nothing without a trained teacher:
    distillation into a smaller model (MobileCLIP, Vasu et al. 2024), later tasks of a sequence (CTP)."""

    def __init__(self, *, saved: Path) -> None:
        """saved: a run or a saved model."""
        super().__init__(saved=saved)


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose parameters take no gradient."""
    return copy.deepcopy(model).requires_grad_(False).eval()


def copy_buffers(model: nn.Module, student: nn.Module) -> None:
    for (_, own), (_, new) in zip(model.named_buffers(), student.named_buffers(), strict=True):
        own.copy_(new)


def blend(model: nn.Module, others: dict[str, Tensor], share: float) -> None:
    """Every parameter moves by `share` towards the one of that name."""
    if not others:
        return
    own = dict(model.named_parameters())
    torch._foreach_lerp_([own[name] for name in others], [others[name].to(own[name]) for name in others], share)
