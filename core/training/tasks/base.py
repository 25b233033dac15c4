"""What a downstream task is: a head, a loss, and figures on held-out data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.data.dataset import named
from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.objectives.base import Term
from core.objectives.teachers import Teacher
from core.training.precision import Compute
from core.types import Encoded, ModalityInput


class Downstream(nn.Module):
    """The encoder of one or several modalities under a head, which holds the encoder itself. `head` maps a
    `ModalityInput` to logits; that of a task for several modalities maps inputs and presence by name.

    frozen: the encoder is not trained and stays in evaluation mode.
    """

    def __init__(
        self, head: nn.Module, *, encoder: Encoder, modality: str | Sequence[str], frozen: bool = False
    ) -> None:
        super().__init__()
        self.frozen = frozen
        if frozen:
            encoder.requires_grad_(False).eval()
        self.head = head
        self.fusion = None
        self.modalities = named(modality)
        self.reads = dict.fromkeys(self.modalities, "encoder")
        self.modality = self.modalities[0]
        self._encoder = [encoder]  # inside `head` already: not a second owner of its parameters

    def train(self, mode: bool = True) -> Downstream:
        super().train(mode)
        if self.frozen:
            self._encoder[0].eval()
        return self

    @property
    def encoders(self) -> Mapping[str, Encoder]:
        return {"encoder": self._encoder[0]}

    def forward(self, *inputs: Any) -> Tensor:
        return self.head(*inputs)

    def encode(
        self,
        modality: str,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        return self._encoder[0](inp, keep=keep, want=want, hooks=hooks)


@dataclass(slots=True)
class Outcome:
    """What a task measured.

    numbers: flat name -> value. protocol: the rules behind them, line by line. tables: title -> (columns, rows).
    pictures: (caption, input, label maps by name) of held-out rows. files: what was written.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, tuple[list[str], list[list[Any]]]] = field(default_factory=dict)
    pictures: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


class Task(ABC):
    """A downstream task. Its typed keyword-only `__init__` is its config. masks: dense labels it needs. several: it
    takes more than one modality."""

    masks: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()  # names of the logits' channels, of tasks whose channels exclude each other
    several: bool = False
    watch: str = ""  # the validation figure that says which step was best; higher is better

    @abstractmethod
    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        """The trainable whole, which holds `encoder`: a module over `ModalityInput`, or with `several` over inputs and
        presence by modality. modality: one name, or with `several` a sequence."""

    def facts(self, modality: str | Sequence[str], data: DataModule) -> dict[str, Any]:
        """What the head must know of the data, in plain JSON types; kept beside the fine-tuned weights."""
        return {}

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        """The module that `head` made of data with these `facts`: how fine-tuned weights are loaded without data."""
        raise ConfigError(f"{type(self).__name__} does not say how its head is built without data (head_from)")

    def begin(self, model: Downstream, data: DataModule, compute: Compute) -> None:  # noqa: B027
        """What the task learns from data before training. Called once after `head`, before `terms`; a run that is
        resumed does it again, from the same weights."""

    def teachers(self) -> dict[str, Teacher]:
        """Models beside the one under training, by the names that the terms ask for."""
        return {}

    @abstractmethod
    def terms(self) -> list[Term]:
        """What is minimised."""

    @abstractmethod
    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        """Cheap figures on the validation split."""

    @abstractmethod
    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        """Figures on the test split; predictions may be written below `folder`."""
