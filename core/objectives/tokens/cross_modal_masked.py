"""Masked modelling of discrete tokens across any modalities (4M, Mizrahi et al. 2023; 4M-21, Bachmann et al. 2024).

Shape legend: B = rows of the batch, V = rows that hold a modality, Q = targets of a modality, M = wanted targets of all
rows, D = width of the decoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step, Term, zero_like_graph
from core.objectives.tokens.budgets import MixtureBudget
from core.objectives.tokens.code_decoder import CodeDecoder
from core.objectives.tokens.code_tasks import CodeDraw, CodeTask
from core.objectives.tokens.joint_tokens import (
    Part,
    encode_visible,
    joint_transformer,
    run_joint,
    steppable,
    to_batch,
)
from core.objectives.tokens.vocabulary import Classes, hard_cross_entropy


class Reduction(nn.Module, ABC):
    @abstractmethod
    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        """0-d from the (M,) losses of every modality, some of them empty, at least one not."""


class PerModality(Reduction):
    """Mean over modalities of the mean over its targets; a modality without targets counts as 0 in the mean."""

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.stack([loss_M.sum() / max(len(loss_M), 1) for loss_M in losses.values()]).mean()


class PerToken(Reduction):
    """Mean over all targets: a modality weighs as much as it has targets, whatever the size of its vocabulary."""

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.cat(list(losses.values())).mean()


class CrossModalMasked(Term):
    """Cross entropy of target tokens, in nats, from the visible tokens of all modalities together.

    The fusion must be a `core.fusion.JointTransformer` that names the modalities of the decoder's tasks. Values: "loss"
    and the mean of each modality that has targets. Without any target the loss is an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        decoder: CodeDecoder,
        budget: MixtureBudget,
        reduction: Reduction | None = None,
        name: str = "cross_modal_masked",
    ) -> None:
        """reduction: `PerModality` when None."""
        super().__init__()
        self.decoder, self.budget, self.name = decoder, budget, name
        self.reduction = PerModality() if reduction is None else reduction

    def forward(self, step: Step) -> dict[str, Tensor]:
        fusion = joint_transformer(step, f"term '{self.name}'")
        names = [name for name in self.decoder.tasks if step.has(name)]
        zero = step.zero() + zero_like_graph(*self.parameters())
        if not names:
            return {"loss": zero}
        draws = self.draw(step, names)
        parts = {name: self._part(step, name, draws[name]) for name in names}
        wide = {name: self._to_batch(step, name, draw) for name, draw in draws.items()}
        states = self.decoder(run_joint(fusion, parts), wide)
        losses = {}
        for name in self.decoder.tasks:
            wanted_BQ = wide[name].wanted if name in wide else None
            if wanted_BQ is None or not wanted_BQ.any():
                losses[name] = zero.new_zeros(0)
                continue
            classes = Classes.of(cast(nn.Linear, self.decoder.classes[name]))
            losses[name] = hard_cross_entropy(states[name][wanted_BQ], classes, wide[name].target[wanted_BQ]).loss
        if all(len(loss_M) == 0 for loss_M in losses.values()):
            return {"loss": zero}
        means = {name: loss_M.mean() for name, loss_M in losses.items() if len(loss_M)}
        return {"loss": self.reduction(losses) + zero, **means}

    def draw(self, step: Step, names: list[str]) -> dict[str, CodeDraw]:
        """Inputs and targets of the V rows of each modality."""
        tasks = {name: cast(CodeTask, self.decoder.tasks[name]) for name in self.decoder.tasks}
        nothing_B = torch.zeros(len(step.batch), dtype=torch.int64)
        limits = {
            name: to_batch(task.size(step.input(name)), step.batch.present[name].cpu()) if name in names else nothing_B
            for name, task in tasks.items()
        }
        grids = [name for name, task in tasks.items() if task.on_grid]
        counts = self.budget.draw(limits, grids=grids, generator=step.generator)
        draws = {}
        for i, (name, task) in enumerate(tasks.items()):
            if name in names:
                present_B = step.batch.present[name].cpu()
                inputs_V, targets_V = counts.inputs[present_B, i], counts.targets[present_B, i]
                drawn = task.draw(step.input(name), inputs_V, targets_V, step.generator)
                draws[name] = drawn.to(step.input(name).x.device)
        return draws

    def _part(self, step: Step, name: str, draw: CodeDraw) -> Part:
        encoder = steppable(step, name, f"term '{self.name}'")
        tokens = encoder.embed(draw.inp)
        if tokens.x.shape[1] - tokens.prefix < draw.keep.shape[1]:
            raise ConfigError(
                f"term '{self.name}': the encoder of '{name}' gives fewer tokens than its input has ids; use "
                "core.encoders.TokenAdapter, or an encoder without prefix"
            )
        present_B = step.batch.present[name]
        x_VKD = encode_visible(encoder, tokens, draw.keep, draw.real)
        return Part(*(to_batch(t, present_B) for t in (x_VKD, draw.keep, draw.real)))

    @staticmethod
    def _to_batch(step: Step, name: str, draw: CodeDraw) -> CodeDraw:
        present_B = step.batch.present[name]
        given = None if draw.given is None else to_batch(draw.given, present_B)
        place, target, wanted = (to_batch(t, present_B) for t in (draw.place, draw.target, draw.wanted))
        return CodeDraw(draw.inp, draw.keep, draw.real, place, given, target, wanted)
