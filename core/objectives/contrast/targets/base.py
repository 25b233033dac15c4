"""What every target is: weights as a function of row ids, column ids and what else is known of the two sides.

Shape legend: n = rows, m = columns (keys), B = rows of the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.errors import ConfigError, nearest
from core.objectives.base import Step
from core.objectives.contrast.targets.weights import Weights
from core.objectives.views import View

Sides = Mapping[str, Tensor]  # name -> (n, ...) tensor without gradient


class Ids(NamedTuple):
    """What is known of one side. item: (n,) int64, equal = the very same row of the global batch. content: (n,) int64,
    equal = interchangeable content (the same text, the same subject). sides: further tensors of n rows that the target
    asked for (`Target.sides`). x: the prepared vectors that are compared, detached, where there are such."""

    item: Tensor
    content: Tensor
    sides: Sides = MappingProxyType({})
    x: Tensor | None = None

    def side(self, name: str) -> Tensor:
        """Raises ConfigError when the keys did not carry it along."""
        if name not in self.sides:
            raise ConfigError(
                f"the target needs the side '{name}' of rows and columns and these keys do not carry it"
                f"{nearest(name, self.sides)}; use keys that do (BatchKeys, GatheredKeys) or a target without sides"
            )
        return self.sides[name]


class Target(nn.Module, ABC):
    """Makes the weights of a batch. `key` names the entry of `Batch.keys` that serves as content id; None: every row
    is its own content."""

    key: str | None = None

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        """What the target must know of the n pairs (rows of B) beyond their ids: tensors of n rows by name, for the
        first modality and for the second. Keys carry them along with the vectors, also between processes."""
        return {}, {}

    @abstractmethod
    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights: ...

    def observe(self, step: Step, batch_rows_n: Tensor, surprise_n: Tensor) -> None:
        """Told after each forward by how many nats each pair missed its own positive (mean of the directions)."""

    def on_epoch(self, epoch: int) -> None:
        """Called at the start of each epoch."""


def view_rows(step: Step, view: View, batch_rows_n: Tensor) -> Tensor:
    """(n, E) what `view` shows of those rows of the batch, detached; (0, 0) when no row of the batch holds it.

    Raises ConfigError when some of the rows lack the modality.
    """
    if len(batch_rows_n) == 0 or not step.has(view.modality):
        if len(batch_rows_n) == 0:
            return step.zero().detach().new_zeros(0, 0)
        raise ConfigError(f"a target looks at '{view.modality}', which no row of the batch holds")
    present_B = step.batch.present[view.modality]
    missing = int((~present_B[batch_rows_n]).sum())
    if missing:
        raise ConfigError(f"a target looks at '{view.modality}', which {missing} of the compared rows lack")
    with torch.no_grad():
        return view(step).x.detach()[(present_B.long().cumsum(0) - 1)[batch_rows_n]]


def inside(name: str, ids: Ids) -> Ids:
    """The ids as a target within another one sees them: with the sides that `nested` put under `name`."""
    start = f"{name}/"
    return ids._replace(sides={k[len(start) :]: t for k, t in ids.sides.items() if k.startswith(start)})


def nested(name: str, sides: Sides) -> dict[str, Tensor]:
    """The sides of a target within another one, under a name of their own."""
    return {f"{name}/{key}": tensor for key, tensor in sides.items()}
