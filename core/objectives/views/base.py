"""What a term compares: vectors, or sequences of token vectors, of the rows in which a modality is present.

Shape legend: V = rows in which the modality is present, N = tokens, D = encoder width, E = width of the vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable

from torch import Tensor, nn

from core.objectives.base import Step
from core.objectives.viewed import Viewed


class View(nn.Module, ABC):
    """One way to look at a modality. `modality` decides which rows there are; equal views share their forwards.

    A view owns no trained parameters where a momentum copy or the saved model needs them: those are `model.heads`.
    """

    modality: str

    @property
    def key(self) -> Hashable:
        """Equal for views that show the same, so that what is made of them is shared within a step."""
        return id(self)

    @abstractmethod
    def forward(self, step: Step) -> Viewed:
        """The V present rows; called only when `step.has(modality)`."""


class Embedding(View):
    """(V, E) projection of the clean forward, not normalised: what retrieval compares."""

    def __init__(self, *, modality: str) -> None:
        super().__init__()
        self.modality = modality

    @property
    def key(self) -> Hashable:
        return ("embedding", self.modality)

    def forward(self, step: Step) -> Viewed:
        return Viewed(step.embedding(self.modality))


class Head(View):
    """(V, E) from `model.heads[head]`, which reads the encoder's pooled vector, or the embedding."""

    def __init__(self, *, modality: str, head: str, of_embedding: bool = False) -> None:
        """of_embedding: the head reads the projection (a predictor, as in BYOL), not the pooled vector."""
        super().__init__()
        self.modality, self.head, self.of_embedding = modality, head, of_embedding

    @property
    def key(self) -> Hashable:
        return ("head", self.modality, self.head, self.of_embedding)

    def forward(self, step: Step) -> Viewed:
        def run() -> Tensor:
            x = step.embedding(self.modality) if self.of_embedding else step.encoded(self.modality).pooled
            return step.head(self.head)(x)

        return Viewed(step.memo(self.key, run))


class FromTeacher(View):
    """What a teacher sees: another view on `step.teacher(teacher)`, without gradient."""

    def __init__(self, *, teacher: str, view: View) -> None:
        super().__init__()
        self.modality, self.teacher, self.view = view.modality, teacher, view

    @property
    def key(self) -> Hashable:
        return ("teacher", self.teacher, self.view.key)

    def forward(self, step: Step) -> Viewed:
        viewed = self.view(step.teacher(self.teacher))
        return Viewed(viewed.x.detach(), viewed.mask)


def as_view(view: str | View) -> View:
    """A modality's name stands for its embedding."""
    return Embedding(modality=view) if isinstance(view, str) else view
