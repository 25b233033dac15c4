"""Invariant training of GraphCLIP (Zhu et al. 2025): a term seen at the worst of small changes of node features.

Shape legend: V = subgraphs, N = nodes, E = edges, F = features of a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step, StepModel, Term
from core.types import ModalityInput


class ThinnedGraph(nn.Module):
    """Each subgraph loses features (the same ones at all of its nodes) and edges, drawn at random (You et al. 2020).

    columns, edges: probability that a feature is set to 0, that a directed edge is dropped. The target stays.
    """

    def __init__(self, *, columns: float = 0.3, edges: float = 0.2) -> None:
        super().__init__()
        if not 0 <= columns < 1 or not 0 <= edges < 1:
            raise ConfigError(f"ThinnedGraph: columns {columns} and edges {edges} are probabilities in [0, 1)")
        self.columns, self.edges = columns, edges

    def forward(self, inp: ModalityInput, generator: torch.Generator) -> ModalityInput:
        keep_V1F = torch.rand(len(inp), 1, inp.x.shape[-1], generator=generator) >= self.columns
        mask_VE = inp.extra["edge_mask"]
        stay_VE = torch.rand(mask_VE.shape, generator=generator) >= self.edges
        extra = {**inp.extra, "edge_mask": mask_VE & stay_VE.to(mask_VE.device)}
        return replace(inp, x=inp.x * keep_V1F.to(inp.x), extra=extra)


class SignPerturbed(Term):
    """Mean of `term` over `passes` at x + p: p uniform in [-size, size] first, then p + rate * sign(d term / d p).

    Every pass sees the clean x plus the one p of that pass. (The published code adds in place, so that a pass sees the
    sum of all p so far.) rate 0 and size 0 in one pass is the plain term. All passes see the same thinned graph.
    Values: those of the first pass, "loss" the mean, "loss_last" that of the last.
    """

    def __init__(
        self,
        *,
        modality: str,
        term: Term,
        passes: int = 3,
        size: float = 0.01,
        rate: float = 0.01,
        thin: ThinnedGraph | None = None,
        shared: Sequence[str] = (),
    ) -> None:
        """modality: whose x is changed, floats. shared: modalities of the term that do not depend on it: their forward
        is done once for all passes. thin: augmentation before; none when None."""
        super().__init__()
        if passes < 1 or size < 0 or rate < 0:
            raise ConfigError(f"SignPerturbed: passes {passes}, size {size}, rate {rate}; give at least 1, 0 and 0")
        self.modality, self.term, self.passes, self.size, self.rate = modality, term, passes, size, rate
        self.thin, self.shared = thin, tuple(shared)
        self.name, self.masks = term.name, term.masks

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return self.term(step)
        clean = step.input(self.modality)
        if not clean.x.is_floating_point():
            raise ConfigError(
                f"term '{self.name}': '{self.modality}' holds {clean.x.dtype}; only floats can be perturbed"
            )
        if self.thin is not None:
            clean = self.thin(clean, step.generator)
        drawn = (2 * torch.rand(clean.x.shape, generator=step.generator) - 1) * self.size
        change, losses, first = drawn.to(clean.x), [], None
        for number in range(self.passes):
            last = number == self.passes - 1
            change = change.detach().requires_grad_(not last)
            values = self.term(self._seen(step, replace(clean, x=clean.x + change)))
            losses.append(values["loss"])
            first = values if first is None else first
            if not last and change.requires_grad and values["loss"].requires_grad:
                (slope,) = torch.autograd.grad(values["loss"], change, retain_graph=True, allow_unused=True)
                change = change if slope is None else change + self.rate * slope.sign()
        assert first is not None
        return {**first, "loss": torch.stack(losses).mean(), "loss_last": losses[-1].detach()}

    def _seen(self, step: Step, inp: ModalityInput) -> Step:
        """The step with another input, and the shared modalities' forwards."""
        batch = replace(step.batch, inputs={**step.batch.inputs, self.modality: inp})
        seen = Step(model=step.model, batch=batch, index=step.index, generator=step.generator, teachers=step.teachers)
        for modality in self.shared:
            if step.has(modality):
                encoded, embedding = step.encoded(modality), step.embedding(modality)
                seen.memo(("encoded", modality), lambda found=encoded: found)  # type: ignore[misc]
                seen.memo(("embedding", modality), lambda found=embedding: found)  # type: ignore[misc]
        return seen

    def before_forward(self, step: Step) -> None:
        self.term.before_forward(step)

    def after_step(self, model: StepModel, index: int) -> None:
        self.term.after_step(model, index)

    def on_epoch(self, model: StepModel, epoch: int) -> None:
        self.term.on_epoch(model, epoch)
