"""What an objective is made of: a step seen by a model, terms that measure it, and their weighted sum.

Shape legend: B = rows of the batch, V = rows in which a modality is present, E = width of the shared space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from core.errors import ConfigError, nearest
from core.objectives.teachers import Teacher
from core.types import Batch, Encoded, ModalityInput

if TYPE_CHECKING:
    from core.data.processor import Processor

T = TypeVar("T")


class StepModel(Protocol):
    """What a term may ask of the model under training."""

    encoders: nn.ModuleDict
    heads: nn.ModuleDict  # further heads by name, that views and terms ask for
    fusion: nn.Module | None
    reads: Mapping[str, str]  # modality -> name of the encoder that reads it

    def encode(
        self,
        modality: str,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[Any] = (),
    ) -> Encoded: ...

    def project(self, modality: str, encoded: Encoded) -> Tensor:
        """(V, E) vectors in the shared space, not normalised."""
        ...

    def width(self, modality: str) -> int:
        """D of the tokens and of the pooled vector of `modality`."""
        ...

    def parameters(self) -> Iterable[nn.Parameter]: ...


class Step:
    """One batch seen by one model. Forwards run when first asked for and are shared by every term that asks again.

    index: global step. generator: CPU generator that the trainer seeds from (seed, index), so that what a term draws
    depends on nothing else.
    """

    def __init__(
        self,
        *,
        model: StepModel,
        batch: Batch,
        index: int,
        generator: torch.Generator,
        teachers: Mapping[str, StepModel] | None = None,
    ) -> None:
        self.model = model
        self.batch = batch
        self.index = index
        self.generator = generator
        self.teachers = teachers or {}
        self._memo: dict[Hashable, Any] = {}

    def memo(self, key: Hashable, fn: Callable[[], T]) -> T:
        """`fn()` on the first request for `key`, the same object on every later one."""
        if key not in self._memo:
            self._memo[key] = fn()
        return cast(T, self._memo[key])

    def has(self, modality: str) -> bool:
        """Whether any row of the batch holds `modality`. Raises ConfigError for a modality the model cannot read."""
        if modality not in self.model.reads:
            raise ConfigError(f"no encoder reads the modality '{modality}'{nearest(modality, self.model.reads)}")
        inp = self.batch.inputs.get(modality)
        return inp is not None and len(inp) > 0

    def input(self, modality: str) -> ModalityInput:
        return self.batch.inputs[modality]

    def encoded(self, modality: str) -> Encoded:
        """The clean forward of `modality`: everything visible, nothing replaced."""
        return self.memo(("encoded", modality), lambda: self.model.encode(modality, self.input(modality)))

    def embedding(self, modality: str) -> Tensor:
        """(V, E) projection of the clean forward, not normalised."""
        return self.memo(("embedding", modality), lambda: self.model.project(modality, self.encoded(modality)))

    def paired_rows(self, a: str, b: str) -> tuple[Tensor, Tensor, Tensor]:
        """`Batch.paired_rows`, empty when no row holds one of the two."""
        if self.has(a) and self.has(b):
            return self.memo(("paired", a, b), lambda: self.batch.paired_rows(a, b))
        empty = torch.zeros(0, dtype=torch.int64)
        return empty, empty, empty

    def head(self, name: str) -> nn.Module:
        """`model.heads[name]`. Raises ConfigError for a head that the model does not have."""
        if name not in self.model.heads:
            raise ConfigError(f"model.heads: there is no '{name}'{nearest(name, self.model.heads)}")
        return self.model.heads[name]

    def teacher(self, name: str) -> TeacherStep:
        """The same batch seen by a teacher. Raises ConfigError for a teacher that is not configured."""
        if name not in self.teachers:
            raise ConfigError(f"teachers: there is no '{name}'{nearest(name, self.teachers)}")
        return self.memo(("teacher", name), lambda: TeacherStep(self, self.teachers[name]))

    def zero(self) -> Tensor:
        """An exact 0 attached to the model's parameters: what a term without a valid row returns."""
        return zero_like_graph(*self.model.parameters())


class TeacherStep(Step):
    """A step whose forwards run without gradient."""

    def __init__(self, student: Step, model: StepModel) -> None:
        super().__init__(model=model, batch=student.batch, index=student.index, generator=student.generator)

    def memo(self, key: Hashable, fn: Callable[[], T]) -> T:
        def quietly() -> T:
            with torch.no_grad():
                return fn()

        return super().memo(key, quietly)


def zero_like_graph(*tensors: Tensor) -> Tensor:
    """An exact 0-d zero (float32 or better) that carries the graph of `tensors`: their gradients become 0, not None.

    Sums of empty slices, not products with 0, so that a NaN or an infinity in a tensor does not leak through.
    """
    live = [t for t in tensors if t.requires_grad and t.is_floating_point()]
    total = torch.zeros((), device=live[0].device if live else None)
    for t in live:
        total = total + t.reshape(-1)[:0].sum()
    return total


class Term(nn.Module, ABC):
    """One measured quantity of a step. `forward` returns "loss" (0-d, unweighted) and further 0-d values to log.

    masks: dense labels of the data that it reads from `step.batch.masks`.
    """

    name: str = "term"
    masks: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, step: Step) -> dict[str, Tensor]: ...

    def before_forward(self, step: Step) -> None:
        """Called once per step before any term runs."""

    def after_step(self, model: StepModel, index: int) -> None:
        """Called after the optimiser step."""

    def on_epoch(self, model: StepModel, epoch: int) -> None:
        """Called at the start of each epoch."""


class Objective(nn.Module):
    """A weighted sum of terms, and the teachers they ask for.

    A name that two terms share gets a running number from the second on.
    """

    def __init__(
        self,
        *,
        terms: Sequence[Term],
        weights: Sequence[float] | None = None,
        teachers: Mapping[str, Teacher] | None = None,
    ) -> None:
        """weights: one factor per term, all 1 when not given. Raises ConfigError when the lengths differ."""
        super().__init__()
        self.teachers = nn.ModuleDict(dict(teachers or {}))
        factors = [1.0] * len(terms) if weights is None else list(weights)
        if not terms:
            raise ConfigError("objective: no terms given; list at least one")
        if len(factors) != len(terms):
            raise ConfigError(f"objective: {len(terms)} terms but {len(factors)} weights; give one weight per term")
        self.terms = nn.ModuleDict()
        self.weights: dict[str, float] = {}
        for term, weight in zip(terms, factors, strict=True):
            name, n = term.name, 2
            while name in self.terms:
                name, n = f"{term.name}_{n}", n + 1
            self.terms[name] = term
            self.weights[name] = float(weight)

    def check(self, processors: Mapping[str, Processor]) -> None:
        """Refuse teachers that would misread what these fitted processors make; before `attach`."""
        for teacher in self._teachers():
            teacher.check(processors)

    def attach(self, model: nn.Module) -> None:
        """Give the teachers their student; before anything is restored or trained."""
        for teacher in self._teachers():
            teacher.attach(model)

    def teacher_models(self) -> dict[str, StepModel]:
        """What `Step` is given."""
        return {name: cast(StepModel, teacher.model) for name, teacher in self.teachers.items()}

    @property
    def masks(self) -> tuple[str, ...]:
        """Dense labels that the terms read, each once."""
        return tuple(dict.fromkeys(mask for _, term in self._named() for mask in term.masks))

    def _teachers(self) -> list[Teacher]:
        return [cast(Teacher, teacher) for teacher in self.teachers.values()]

    def _named(self) -> list[tuple[str, Term]]:
        return [(name, cast(Term, term)) for name, term in self.terms.items()]

    def forward(self, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """(weighted sum, {"term/value": detached unweighted value})."""
        self.before_forward(step)
        total: Tensor | None = None
        logs: dict[str, Tensor] = {}
        for name, term in self._named():
            values = term(step)
            weighted = self.weights[name] * values["loss"]
            total = weighted if total is None else total + weighted
            logs.update({f"{name}/{key}": value.detach() for key, value in values.items()})
        assert total is not None  # the constructor refuses an empty list
        return total, logs

    def before_forward(self, step: Step) -> None:
        for teacher in self._teachers():
            teacher.before_forward(cast(nn.Module, step.model), step.index)
        for _, term in self._named():
            term.before_forward(step)

    def after_step(self, model: StepModel, index: int) -> None:
        for teacher in self._teachers():
            teacher.after_step(cast(nn.Module, model), index)
        for _, term in self._named():
            term.after_step(model, index)

    def on_epoch(self, model: StepModel, epoch: int) -> None:
        for teacher in self._teachers():
            teacher.on_epoch(cast(nn.Module, model), epoch)
        for _, term in self._named():
            term.on_epoch(model, epoch)
