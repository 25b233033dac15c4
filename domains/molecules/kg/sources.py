"""A source of text about entities, brought to the width a model needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError, nearest
from domains.molecules.kg.graph import Graph


class TextSource(nn.Module):
    """Features of a text source -> Linear - tanh - Linear - tanh -> (..., dim). The features are data, not weights."""

    features_EF: Tensor  # noqa: N815

    def __init__(self, name: str, size: int, *, dim: int) -> None:
        """name: of the source, in `TripleProcessor.features` or `.vectors`. size: F."""
        super().__init__()
        self.name, self.size, self.dim = name, size, dim
        self.adjust = nn.Sequential(nn.Linear(size, dim), nn.Tanh(), nn.Linear(dim, dim), nn.Tanh())
        self.register_buffer("features_EF", torch.zeros(0, size), persistent=False)

    def forward(self, ids: Tensor | None = None) -> Tensor:
        """(..., dim) of the entities `ids`; of all of them, (E, dim), for None."""
        return self.adjust(self.features_EF if ids is None else self.features_EF[ids])

    def take(self, graph: Graph) -> None:
        """Raises ConfigError when the graph has no such source, or one of another width."""
        if self.name not in graph.features:
            raise ConfigError(
                f"the processor gives no text features '{self.name}'{nearest(self.name, graph.features)}; list them "
                "in its `features` or `vectors`"
            )
        found = torch.from_numpy(graph.features[self.name])
        if found.shape[1] != self.size:
            raise ConfigError(
                f"text features '{self.name}' are {found.shape[1]} wide and the model expects {self.size}"
            )
        self.features_EF = found.to(self.features_EF.device)
