"""What stands in for a modality that a row does not have. Every policy guarantees one present modality per row.

Shape legend: B = rows of the batch, V = rows in which the modality is present, D = width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.errors import DataError


class MissingPolicy(nn.Module, ABC):
    """vectors[m]: the (V, D) present rows, present[m]: (B,) bool, at least one of them true per row ->
    filled[m]: (B, D), counts[m]: (B,) bool, whether the row's vector takes part in the fusion."""

    def forward(
        self, vectors: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        check_present(vectors, present)
        filled, counts = {}, {}
        for name, x_VD in vectors.items():
            here_B = present[name]
            base_BD = self.stand_in(name, x_VD).to(x_VD).expand(len(here_B), x_VD.shape[1])
            filled[name] = base_BD.masked_scatter(here_B[:, None], x_VD)
            counts[name] = self.takes_part(here_B)
        return filled, counts

    @abstractmethod
    def stand_in(self, name: str, x_VD: Tensor) -> Tensor:
        """(D,) vector for the rows that lack modality `name`."""

    @abstractmethod
    def takes_part(self, present_B: Tensor) -> Tensor: ...


class DropMissing(MissingPolicy):
    """A missing modality takes no part."""

    def stand_in(self, name: str, x_VD: Tensor) -> Tensor:
        return x_VD.new_zeros(x_VD.shape[1])

    def takes_part(self, present_B: Tensor) -> Tensor:
        return present_B


class ZeroMissing(DropMissing):
    """A missing modality is a zero vector that counts like any other: the usual baseline."""

    def takes_part(self, present_B: Tensor) -> Tensor:
        return torch.ones_like(present_B)


class LearnedMissing(MissingPolicy):
    """A missing modality is one trained vector. inputs: modality -> width."""

    def __init__(self, *, inputs: dict[str, int]) -> None:
        super().__init__()
        self.tokens = nn.ParameterDict(
            {name: nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02)) for name, width in inputs.items()}
        )

    def stand_in(self, name: str, x_VD: Tensor) -> Tensor:
        return self.tokens[name]

    def takes_part(self, present_B: Tensor) -> Tensor:
        return torch.ones_like(present_B)


def check_present(vectors: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> None:
    """Raise DataError unless every row has a modality and each modality has as many rows as it is present in."""
    if set(vectors) != set(present) or not vectors:
        raise DataError(f"fusion got vectors of {sorted(vectors)} and presence of {sorted(present)}; they must agree")
    for name, x_VD in vectors.items():
        if len(x_VD) != int(present[name].sum()):
            raise DataError(f"'{name}' has {len(x_VD)} rows and is present in {int(present[name].sum())}")
    any_B = torch.stack(list(present.values())).any(dim=0)
    if not bool(any_B.all()):
        rows = (~any_B).nonzero()[:, 0].tolist()
        raise DataError(
            f"rows {rows[:8]} of the batch have none of {', '.join(sorted(vectors))}; "
            "drop records without any modality when the layout is read"
        )
