"""A figure that a domain brings: what `evaluation.measures` of a configuration lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from core.data.datamodule import DataModule
from core.models.dual_encoder import DualEncoder
from core.training.precision import Compute


class Measurement(ABC):
    """Measures a model on a split of the data. Its typed keyword-only `__init__` is its config.

    headline: label -> name of the figures that are shown first on screen and in the report.
    during_training: whether it is cheap enough for every validation.
    """

    headline: ClassVar[Mapping[str, str]] = {}
    during_training: ClassVar[bool] = True

    @abstractmethod
    def measure(
        self, model: DualEncoder, data: DataModule, compute: Compute, *, split: str, n_bootstrap: int, seed: int
    ) -> dict[str, float]:
        """Flat name -> value, without the split's name. A name with `_low` and `_high` beside it has an interval.

        The model is put back into the mode it was in. Raises DataError where the split has nothing to measure on.
        """
