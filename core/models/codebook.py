"""Tables of vectors that several views share, and the map of tokens onto them.

Shape legend: K = codes or words, D = encoder width, E = width of a code, M = tokens of all rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from core.errors import ConfigError, nearest


class HasEncoders(Protocol):
    encoders: nn.ModuleDict


class FromModel(nn.Module, ABC):
    """A head that takes its start from the model that owns it: `adopt` runs once, when the model is built."""

    @abstractmethod
    def adopt(self, model: HasEncoders) -> None:
        """Take from `model` what the head starts with."""


class Codebook(nn.Module):
    """K trained codes, called for its table (K, E). Gaussian start of length about 1."""

    def __init__(self, *, codes: int, dim: int) -> None:
        super().__init__()
        if codes < 1 or dim < 1:
            raise ConfigError(f"Codebook: codes is {codes} and dim {dim}; both must be positive")
        self.weight = nn.Parameter(torch.randn(codes, dim) * dim**-0.5)

    def forward(self) -> Tensor:
        return self.weight


class WordCodebook(FromModel):
    """A copy of a text encoder's word embeddings, called for its table (K, E) (LexVLA, Li et al. 2024).

    encoder: name of the encoder in `model.encoders`, which must have a `token_embedding`. frozen: not trained (LexVLA
    freezes the codebook of the text side and trains that of the images).
    """

    def __init__(self, *, encoder: str, frozen: bool = False) -> None:
        super().__init__()
        self.encoder, self.frozen = encoder, frozen
        self.weight = nn.Parameter(torch.empty(0, 0), requires_grad=not frozen)

    def adopt(self, model: HasEncoders) -> None:
        if self.encoder not in model.encoders:
            raise ConfigError(f"WordCodebook: encoder is '{self.encoder}'{nearest(self.encoder, model.encoders)}")
        table = getattr(model.encoders[self.encoder], "token_embedding", None)
        if not isinstance(table, nn.Embedding):
            raise ConfigError(
                f"WordCodebook: encoder '{self.encoder}' has no token_embedding; name a text encoder such as "
                "core.encoders.TextTransformer"
            )
        self.weight = nn.Parameter(table.weight.detach().clone(), requires_grad=not self.frozen)

    def forward(self) -> Tensor:
        return self.weight


class QueryMap(nn.Module):
    """LayerNorm - linear - GELU - LayerNorm - linear: tokens (M, D) -> queries (M, E) (Chen et al. 2023, "FDT")."""

    def __init__(self, *, width: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, dim), nn.GELU(), nn.LayerNorm(dim), nn.Linear(dim, dim)
        )

    def forward(self, x_MD: Tensor) -> Tensor:
        return self.layers(x_MD)


class Placeholder(nn.Module):
    """A trained vector that stands for a modality that is missing, called for its value (E,).

    In a shared space this is all that an encoder could make of "missing": a constant input with an indicator, passed
    through any map, is one vector (Saporta et al. 2024 feed the training mean and a learned indicator).
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ConfigError(f"Placeholder: dim is {dim}; give the width of the shared space")
        self.vector = nn.Parameter(torch.randn(dim) * dim**-0.5)

    def forward(self) -> Tensor:
        return self.vector
