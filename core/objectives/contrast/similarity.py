"""Similarities: maps of embeddings under which the logit is a plain dot product, so that one kernel serves all."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional as F


class Similarity(nn.Module, ABC):
    """Gives the vectors whose dot product is the similarity."""

    @abstractmethod
    def rows(self, x_VE: Tensor) -> Tensor: ...

    @abstractmethod
    def keys(self, x_VE: Tensor) -> Tensor: ...


class Cosine(Similarity):
    """Dot product of unit vectors, float32 or better. A zero vector has similarity 0 with everything."""

    def rows(self, x_VE: Tensor) -> Tensor:
        # not .float(): double precision stays double
        return F.normalize(x_VE if x_VE.element_size() > 4 else x_VE.float(), dim=-1, eps=1e-6)

    keys = rows


class Dot(Similarity):
    """Plain dot product of the embeddings as they are."""

    def rows(self, x_VE: Tensor) -> Tensor:
        return x_VE if x_VE.element_size() > 4 else x_VE.float()

    keys = rows
