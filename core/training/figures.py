"""Figures that belong to a system and not to every model: measured while it trains, and on held-out data at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from core.config.build import build
from core.data.datamodule import DataModule
from core.models.dual_encoder import DualEncoder
from core.training.precision import Compute

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # columns, rows


class Figure(ABC):
    """What a domain measures of a pretrained model. Its typed keyword-only `__init__` is its config.

    headline: label -> name of the numbers that are shown first on screen and in the report.
    tables: title -> (columns, rows) for the report, as the last `measure` left them; a figure with none leaves it be.
    """

    headline: ClassVar[Mapping[str, str]] = {}
    tables: Mapping[str, Table] = MappingProxyType({})

    @abstractmethod
    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        """Name -> finite number on a split; empty when the split has nothing to measure it on. The model is in
        evaluation mode, without gradients. n_bootstrap: samples of an interval, which is `_low` and `_high` beside a
        name; 1 during training, where no interval is needed."""

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
    import torch

    found: dict[str, float] = {}
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    with torch.no_grad():
        for figure in figures:
            found |= figure.measure(model, data, split=split, compute=compute, seed=seed, n_bootstrap=n_bootstrap)
    for module in was_training:
        module.training = True
    return found
