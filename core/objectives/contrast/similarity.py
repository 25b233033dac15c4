"""Similarities: what makes a matrix of numbers from two views."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable

from torch import Tensor, nn
from torch.nn import functional as F

from core.objectives.contrast.matrix import DotMatrix, Matrix, computed_in
from core.objectives.viewed import Viewed


class Similarity(nn.Module, ABC):
    """`rows` and `keys` prepare the two sides before keys travel between processes; `matrix` compares them.

    directional: S(a, b) is not the transpose of S(b, a), so that each direction needs a matrix of its own.
    """

    directional: bool = False

    @property
    def key(self) -> Hashable:
        """Equal for similarities that prepare sides alike, so that terms of one step share them."""
        return id(self)

    @abstractmethod
    def rows(self, viewed: Viewed) -> Viewed: ...

    def keys(self, viewed: Viewed) -> Viewed:
        return self.rows(viewed)

    def matrix(self, rows: Viewed, cols: Viewed) -> Matrix:
        """Similarities of prepared sides: the plain dot product of vectors."""
        return DotMatrix(rows.x, cols.x)

    def both(self, rows: Viewed, cols: Viewed) -> tuple[Matrix, Matrix]:
        """S(rows, cols) and S(cols, rows) of a directional similarity; used first, the first may do work for both."""
        return self.matrix(rows, cols), self.matrix(cols, rows)


class Cosine(Similarity):
    """Dot product of unit vectors, float32 or better. A zero vector has similarity 0 with everything."""

    @property
    def key(self) -> Hashable:
        return Cosine

    def rows(self, viewed: Viewed) -> Viewed:
        return Viewed(unit(viewed.x), viewed.mask)


class CentroidDot(Similarity):
    """Unit rows against columns as they are: means of groups, which are shorter the more their members differ (Chen et
    al. 2023, "ProtoCLIP", does not normalise them). `Cosine` is the form with normalised centroids."""

    def rows(self, viewed: Viewed) -> Viewed:
        return Viewed(unit(viewed.x), viewed.mask)

    def keys(self, viewed: Viewed) -> Viewed:
        return Viewed(computed_in(viewed.x), viewed.mask)


class Projection(Similarity):
    """Rows as they are against unit columns: the length of a row's shadow on each column (Zhang and Lu 2018, "CMPM").
    Long rows are sure of themselves, so S(a, b) is not the transpose of S(b, a)."""

    directional = True

    def rows(self, viewed: Viewed) -> Viewed:
        return Viewed(computed_in(viewed.x), viewed.mask)

    def matrix(self, rows: Viewed, cols: Viewed) -> Matrix:
        return DotMatrix(rows.x, unit(cols.x))


class Dot(Similarity):
    """Plain dot product of the embeddings as they are."""

    @property
    def key(self) -> Hashable:
        return Dot

    def rows(self, viewed: Viewed) -> Viewed:
        return Viewed(computed_in(viewed.x), viewed.mask)


def unit(x: Tensor) -> Tensor:
    """Vectors of length 1 along the last axis, float32 or better; zero stays zero."""
    return F.normalize(computed_in(x), dim=-1, eps=1e-6)
