"""Figures that belong to a system and not to every model: measured while it trains, and on held-out data at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from core.config.build import build
from core.data.datamodule import DataModule
from core.models.dual_encoder import DualEncoder
from core.report.content import Drawing
from core.training.precision import Compute


class Figure(ABC):
    """What a domain measures of a pretrained model. Its typed keyword-only `__init__` is its config.

    headline: label -> name of the numbers that are shown first on screen and in the report.
    """

    headline: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        """Name -> finite number on a split; empty when the split has nothing to measure it on. The model is in
        evaluation mode, without gradients. n_bootstrap: samples of an interval, which is `_low` and `_high` beside a
        name; 1 during training, where no interval is needed."""

    def drawings(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int
    ) -> list[Drawing]:
        """Pictures for the report, made once at the end, with the model as in `measure`; most have none."""
        return []

    def check(self, model: DualEncoder) -> None:  # noqa: B027 - most have nothing to check
        """Raises ConfigError, before data is read, for a model that it cannot measure."""


def build_figures(nodes: Sequence[Mapping[str, Any]], model: DualEncoder) -> list[Figure]:
    """The figures of a configuration, known to fit the model."""
    figures: list[Figure] = [build(node) for node in nodes]
    for figure in figures:
        figure.check(model)
    return figures


def measured_figures(
    figures: Sequence[Figure],
    model: DualEncoder,
    data: DataModule,
    *,
    split: str,
    compute: Compute,
    seed: int,
    n_bootstrap: int,
) -> dict[str, float]:
    """The numbers of all figures, without gradients; the model is put back into the mode it was in."""
    found: dict[str, float] = {}
    with _at_rest(model):
        for figure in figures:
            found |= figure.measure(model, data, split=split, compute=compute, seed=seed, n_bootstrap=n_bootstrap)
    return found


def drawings_of(
    figures: Sequence[Figure], model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int
) -> list[Drawing]:
    """The pictures of all figures, in order."""
    with _at_rest(model):
        return [d for f in figures for d in f.drawings(model, data, split=split, compute=compute, seed=seed)]


@contextmanager
def _at_rest(model: DualEncoder) -> Iterator[None]:
    """Evaluation mode without gradients; the model is put back into the mode it was in."""
    import torch

    was_training = [module for module in model.modules() if module.training]
    model.eval()
    with torch.no_grad():
        yield
    for module in was_training:
        module.training = True
