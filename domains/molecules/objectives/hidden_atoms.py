"""Predicting hidden atoms: attribute masking (Hu et al. 2020) and GraphMAE (Hou et al. 2022) are two sets of parts.

Shape legend: A = real atoms of all molecules, H = hidden ones, D = width, K = kinds of atoms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step, StepModel, Term
from core.objectives.scaled_cosine import scaled_cosine_error
from core.types import ModalityInput
from domains.molecules.encoders.packed import pack
from domains.molecules.objectives.heads import AtomHead
from domains.molecules.objectives.masking import AtomMasking


class AtomLoss(ABC):
    """(H, K) predictions and (H,) kinds -> (H,) errors, float32 or finer."""

    @abstractmethod
    def __call__(self, predicted_HK: Tensor, kind_H: Tensor) -> Tensor: ...


class AtomCrossEntropy(AtomLoss):
    """-log softmax, in nats: K equal logits cost ln K."""

    def __call__(self, predicted_HK: Tensor, kind_H: Tensor) -> Tensor:
        fine = torch.promote_types(predicted_HK.dtype, torch.float32)
        return F.cross_entropy(predicted_HK.to(fine), kind_H, reduction="none")


class AtomScaledCosine(AtomLoss):
    """Scaled cosine error to the one-hot kind. gamma: 1 for molecules as published, up to 3 elsewhere."""

    def __init__(self, *, gamma: float = 1.0) -> None:
        if gamma <= 0:
            raise ConfigError(f"AtomScaledCosine: gamma is {gamma}; give a value above 0")
        self.gamma = gamma

    def __call__(self, predicted_HK: Tensor, kind_H: Tensor) -> Tensor:
        target_HK = F.one_hot(kind_H, predicted_HK.shape[1]).to(predicted_HK.dtype)
        return scaled_cosine_error(predicted_HK, target_HK, gamma=self.gamma)


class Answers(NamedTuple):
    """predicted: (H, K). kinds: (H,) the truth."""

    predicted: Tensor
    kinds: Tensor


def answers(
    model: StepModel, head: torch.nn.Module, modality: str, masking: AtomMasking, inp: ModalityInput,
    generator: torch.Generator,
) -> Answers:  # fmt: skip
    """Hide atoms of `inp` and predict them."""
    hidden = masking.hide(inp, generator)
    tokens = model.encode(modality, hidden.inp).tokens
    if tokens is None or not isinstance(head, AtomHead):
        raise ConfigError(
            f"hidden atoms: '{modality}' needs an encoder that gives atoms, and model.heads an AtomHead, not a "
            f"{type(head).__name__}"
        )
    graph = pack(hidden.inp)
    hidden_A = hidden.atoms[graph.mask]
    return Answers(head(tokens.x[graph.mask], graph, hidden_A), hidden.kinds[graph.mask][hidden_A])


class HiddenAtoms(Term):
    """Mean error over hidden atoms; no molecule in the batch: an exact 0 with a graph.

    Values: "loss"; "accuracy", the share of hidden atoms whose kind has the largest entry.
    """

    def __init__(
        self,
        *,
        modality: str = "graph",
        head: str = "atoms",
        masking: AtomMasking | None = None,
        loss: AtomLoss | None = None,
        name: str = "hidden_atoms",
    ) -> None:
        """head: entry of `model.heads`, an `AtomHead`. masking, loss: `AtomMasking()`, `AtomCrossEntropy()` if None."""
        super().__init__()
        self.modality, self.head, self.name = modality, head, name
        self.masking = AtomMasking() if masking is None else masking
        self.loss = AtomCrossEntropy() if loss is None else loss

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        found = answers(
            step.model, step.head(self.head), self.modality, self.masking, step.input(self.modality), step.generator
        )
        hit_H = found.predicted.detach().argmax(1) == found.kinds
        return {"loss": self.loss(found.predicted, found.kinds).mean(), "accuracy": hit_H.float().mean()}
