"""Models beside the one under training: they see the same step and get no gradient.

A teacher's weights are part of the objective's state, so a resumed run has them.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.errors import ConfigError


class Teacher(nn.Module, ABC):
    """`model` exists after `attach`. Always in evaluation mode, never trained."""

    model: nn.Module

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
        self.model = copy.deepcopy(student).requires_grad_(False).eval()

    def momentum(self, index: int) -> float:
        """m of the update after `index` optimiser steps."""
        if self.final is None or self.steps is None:
            return self.decay
        share = min(1.0, index / max(1, self.steps))
        return self.final - (self.final - self.decay) * 0.5 * (1 + float(torch.tensor(torch.pi * share).cos()))

    @torch.no_grad()
    def after_step(self, student: nn.Module, index: int) -> None:
        blend(self.model, {name: p.detach() for name, p in student.named_parameters()}, 1 - self.momentum(index))
        for (_, own), (_, new) in zip(self.model.named_buffers(), student.named_buffers(), strict=True):
            own.copy_(new)


def blend(model: nn.Module, others: dict[str, Tensor], share: float) -> None:
    """Every parameter moves by `share` towards the one of that name."""
    own = dict(model.named_parameters())
    torch._foreach_lerp_([own[name] for name in others], [others[name].to(own[name]) for name in others], share)
