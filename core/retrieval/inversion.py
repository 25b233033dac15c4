"""Modality inversion: pseudo tokens of one modality embedded like an item of another (Mistretta et al. 2025).

Shape legend: V = items, R = pseudo tokens per item, N = positions of the encoder, D = encoder width, E = shared width.
A query inverted into the gallery's modality turns image-image search into text-image search and back. Nothing of the
model changes: pseudo tokens stand in for the output of its word or patch embedding, before positions are added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.encoders.base import Encoder
from core.errors import ConfigError, DataError
from core.evaluation.alignment.rows import row_blocks, unit
from core.types import Encoded, ModalityInput


class InvertibleModel(Protocol):
    """What an inversion asks of a model; `core.models.DualEncoder` is one."""

    def encoder_of(self, modality: str) -> Encoder: ...

    def encode(self, modality: str, inp: ModalityInput) -> Encoded: ...

    def project(self, modality: str, encoded: Encoded) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Inverted:
    """vectors: (V, E) unit rows, the embeddings of the pseudo tokens. tokens: (V, R, D). loss: (V,) last 1 - cosine to
    the target. history: (steps + 1,) mean over items before each step and after the last."""

    vectors: Tensor
    tokens: Tensor
    loss: Tensor
    history: Tensor


class Inversion(ABC):
    """Optimises pseudo tokens for each item by AdamW on 1 - cosine, with the published settings.

    Every item starts from the same draw and the losses are summed, not averaged, so an item's result does not depend on
    what else is in its batch (but for rounding).
    """

    def __init__(
        self,
        *,
        model: InvertibleModel,
        modality: str,
        tokens: int,
        steps: int,
        lr: float,
        weight_decay: float,
        init_std: float,
        batch_size: int,
    ) -> None:
        if min(tokens, steps, batch_size) < 1 or lr <= 0 or weight_decay < 0 or init_std < 0:
            raise ConfigError(
                f"{type(self).__name__}: tokens {tokens}, steps {steps}, batch_size {batch_size} and lr {lr} must be "
                f"positive, weight_decay {weight_decay} and init_std {init_std} at least 0"
            )
        self.model, self.modality, self.tokens, self.steps = model, modality, tokens, steps
        self.lr, self.weight_decay, self.init_std, self.batch_size = lr, weight_decay, init_std, batch_size
        self.encoder = model.encoder_of(modality)

    @abstractmethod
    def _width(self) -> int:
        """D of the pseudo tokens."""

    @abstractmethod
    def _like(self) -> Tensor:
        """A tensor of the dtype and device of the embedding."""

    @abstractmethod
    def _input(self, rows: int) -> ModalityInput:
        """Input whose embedding the pseudo tokens replace."""

    @abstractmethod
    def _replaced(self, pseudo_VRD: Tensor) -> Any:
        """Context in which the encoder reads the pseudo tokens."""

    def __call__(self, targets_VE: Tensor, *, generator: torch.Generator) -> Inverted:
        """targets_VE: embeddings of items of another modality, need not be normalised. generator: draws the start.

        Raises DataError for nan targets or another width than the model's.
        """
        if targets_VE.ndim != 2 or not len(targets_VE) or not bool(torch.isfinite(targets_VE).all()):
            raise DataError(f"inversion: targets are {tuple(targets_VE.shape)}; give (V, E), finite, at least one row")
        like = self._like()
        target_VE = unit(targets_VE).to(like)
        start_RD = torch.randn(self.tokens, self._width(), generator=generator, dtype=torch.float64).to(like)
        start_RD = start_RD * self.init_std
        with evaluating(self.encoder, self.model), torch.enable_grad():
            parts = [self._optimise(target_VE[rows], start_RD) for rows in row_blocks(len(target_VE), self.batch_size)]
        vectors, tokens, losses = (torch.cat(part) for part in list(zip(*parts, strict=True))[:3])
        weight_P = torch.tensor([len(part[0]) for part in parts], dtype=torch.float64)
        history_PS = torch.stack([part[3] for part in parts])
        return Inverted(vectors, tokens, losses, (weight_P @ history_PS) / weight_P.sum())

    def _optimise(self, target_VE: Tensor, start_RD: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        inp = self._input(len(target_VE))
        pseudo_VRD = start_RD.expand(len(target_VE), -1, -1).clone().requires_grad_()
        optimizer = torch.optim.AdamW([pseudo_VRD], lr=self.lr, weight_decay=self.weight_decay)

        def embedded() -> Tensor:
            with self._replaced(pseudo_VRD):
                vector_VE = self.model.project(self.modality, self.model.encode(self.modality, inp))
            if vector_VE.shape != target_VE.shape:
                raise DataError(
                    f"inversion: the model embeds '{self.modality}' as {tuple(vector_VE.shape)}, targets are "
                    f"{tuple(target_VE.shape)}; both must lie in one space"
                )
            return F.normalize(vector_VE, dim=1)

        history = []
        for _ in range(self.steps):
            loss_V = 1 - (embedded() * target_VE).sum(dim=1)
            history.append(loss_V.detach().double().mean().cpu())
            (pseudo_VRD.grad,) = torch.autograd.grad(loss_V.sum(), [pseudo_VRD])
            optimizer.step()
        with torch.no_grad():
            vector_VE = embedded()
            loss_V = 1 - (vector_VE * target_VE).sum(dim=1)
        history.append(loss_V.double().mean().cpu())
        return vector_VE, pseudo_VRD.detach(), loss_V, torch.stack(history)


@contextmanager
def output_of(module: nn.Module, change: Callable[[Any], Any]) -> Iterator[None]:
    """Inside, `module` returns change(its output)."""
    handle = module.register_forward_hook(lambda _module, _args, output: change(output))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def evaluating(*modules: Any) -> Iterator[None]:
    """Inside, every module is in evaluation mode; afterwards each is in the mode it was in."""
    parts = [part for module in modules if isinstance(module, nn.Module) for part in module.modules()]
    training = [part for part in parts if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
