"""The nouns that every room of the suite shares.

Shape legend: B = rows of the batch, V = rows in which a modality is present, N = tokens, D = encoder width.
A missing modality costs nothing: `ModalityInput` holds the V present rows only, in batch order, and
`Batch.present[name]` says which rows those are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import torch
from torch import Tensor


class Sample(TypedDict, total=False):
    """One study as the processors leave it. A modality that is missing is a key that is absent."""

    id: str
    group: str  # what a split keeps together: patient, scene, scaffold
    inputs: dict[str, Any]  # modality -> what its processor returned
    labels: dict[str, float]  # name -> 0/1, a value, or nan for unknown
    text_id: dict[str, int]  # modality -> id of its content; equal content has equal ids


@dataclass(slots=True)
class ModalityInput:
    """Model input of one modality for the V rows that have it.

    x: (V, C, H, W) image, (V, C, S, H, W) volume as a stack of S slices, (V, T) int64 token ids.
    mask: (V, T) or (V, S) bool, True = real; None when everything is real.
    extra: further tensors with V rows, by name (for instance `word_ids` of a text, `spacing` of a volume).
    """

    x: Tensor
    mask: Tensor | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    def apply(self, fn: Any) -> ModalityInput:
        """The same input with `fn` applied to every tensor."""
        return ModalityInput(
            fn(self.x), None if self.mask is None else fn(self.mask), {k: fn(v) for k, v in self.extra.items()}
        )

    def rows(self, index: Tensor) -> ModalityInput:
        """The rows `index` (int64 or bool over V)."""
        return self.apply(lambda t: t[index])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> ModalityInput:
        return self.apply(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> ModalityInput:
        return self.apply(lambda t: t.pin_memory())


@dataclass(slots=True)
class Batch:
    """What one training or evaluation step sees.

    ids: B sample ids. inputs[m]: the present rows of modality m. present[m]: (B,) bool.
    labels[name]: (B,) float, nan = unknown; quantities[name] likewise, for labels that are values on a scale.
    keys[name]: (B,) int64 identity of a row for targets: equal keys are never negatives of each other
    (`keys["sample"]` always exists; `keys["<modality>"]` marks equal content).
    masks[name]: dense labels of the rows, (B, S, H, W) int64, where a task has them; -1 = not labelled.
    """

    ids: list[str]
    inputs: dict[str, ModalityInput]
    present: dict[str, Tensor]
    labels: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, Tensor] = field(default_factory=dict)
    masks: dict[str, Tensor] = field(default_factory=dict)
    quantities: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        def move(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: v.to(device, non_blocking=non_blocking) for k, v in tensors.items()}

        return replace(
            self,
            inputs={k: v.to(device, non_blocking) for k, v in self.inputs.items()},
            present=move(self.present),
            labels=move(self.labels),
            keys=move(self.keys),
            masks=move(self.masks),
            quantities=move(self.quantities),
        )

    def pin_memory(self) -> Batch:
        def pin(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: v.pin_memory() for k, v in tensors.items()}

        return replace(
            self,
            inputs={k: v.pin_memory() for k, v in self.inputs.items()},
            present=pin(self.present),
            labels=pin(self.labels),
            keys=pin(self.keys),
            masks=pin(self.masks),
            quantities=pin(self.quantities),
        )

    def paired_rows(self, a: str, b: str) -> tuple[Tensor, Tensor, Tensor]:
        """Where modalities `a` and `b` both exist: (rows of a's V, rows of b's V, rows of B), int64, equal length."""
        both_B = self.present[a] & self.present[b]
        of_a_B, of_b_B = (self.present[m].long().cumsum(0) - 1 for m in (a, b))
        return of_a_B[both_B], of_b_B[both_B], both_B.nonzero(as_tuple=True)[0]


@dataclass(slots=True)
class Tokens:
    """A token sequence. x: (V, N, D). mask: (V, N) bool, True = real, or None. grid: spatial shape behind N
    (without prefix tokens such as CLS). prefix: number of tokens in front that belong to no grid position."""

    x: Tensor
    mask: Tensor | None = None
    grid: tuple[int, ...] | None = None
    prefix: int = 0


@dataclass(slots=True)
class Encoded:
    """What an encoder returns. pooled: (V, D). tokens: its sequence, where it has one. layers[i]: hidden state after
    block i (0-based), for the layers that were wanted. pyramid: feature maps, fine to coarse, for dense heads."""

    pooled: Tensor
    tokens: Tokens | None = None
    layers: dict[int, Tensor] = field(default_factory=dict)
    pyramid: list[Tensor] | None = None
