"""Vectors that travel with the sample: a teacher's embeddings, computed once and kept beside the data.

Shape legend: V = rows in which the modality is present, N = vectors of a row, E = their width.
"""

from __future__ import annotations

from collections.abc import Hashable

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.views.base import View, Viewed


class Stored(View):
    """(V, E), or (V, N, E) with its mask: the input of `modality` as it is, without an encoder and without gradient.

    MobileCLIP's reinforced data (Vasu et al. 2024) keeps the embeddings that teachers gave to the very augmentation and
    caption that the student sees: each is a modality, and a `TeacherPair` looks at two of them. The model has to name
    an encoder for the modality, so that its data are read: `core.encoders.VectorMLP` with `widths: []` adds nothing.
    Raises ConfigError for an input that is no vector.
    """

    def __init__(self, *, modality: str) -> None:
        super().__init__()
        self.modality = modality

    @property
    def key(self) -> Hashable:
        return "stored", self.modality

    def forward(self, step: Step) -> Viewed:
        inp = step.input(self.modality)
        if inp.x.ndim not in (2, 3) or not inp.x.is_floating_point():
            raise ConfigError(
                f"Stored: the input of '{self.modality}' has the shape {tuple(inp.x.shape)} and holds {inp.x.dtype}; "
                "expected vectors (V, E), or (V, N, E), of floating-point numbers"
            )
        return Viewed(inp.x.detach(), inp.mask)
