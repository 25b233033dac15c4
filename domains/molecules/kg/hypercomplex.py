"""The hypercomplex multi-modal family, Tetra, Robin and Lion style (Nayyeri et al. 2023, arXiv 2208.02743).

Entities are vectors of dihedra or quaternions whose quarters hold different sources (`MultiModalEntities`). Scores are
negative squared distances with a bias per entity (`LinkEncoder(bias=True)`). A Euclidean-normalised dihedron is no
isometry, so heads are asked for through inverse relations, with quaternions too, as in the released code.

Shape legend: V = triples, E = entities, D = 4 d = width of an entity, F = features of a text source.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError
from domains.molecules.kg.algebra import dihedron_product, quaternion_product, unit
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.links import FactorLinks, first_values
from domains.molecules.kg.match import Match, SquaredDistance
from domains.molecules.kg.sources import TextSource

PRODUCTS = {"dihedron": dihedron_product, "quaternion": quaternion_product}


class Tetra(FactorLinks):
    """-||h (x) r / |r| - t||^2."""

    parts: ClassVar[int] = 4
    two_ways: ClassVar[bool] = False
    match: Match = SquaredDistance()

    def __init__(
        self,
        *,
        relations: int,
        dim: int,
        inverse: bool = True,
        init_std: float = 0.1,
        algebra: Literal["dihedron", "quaternion"] = "dihedron",
    ) -> None:
        super().__init__(relations=relations, dim=dim, inverse=inverse, init_std=init_std)
        self.algebra = algebra
        self.product = PRODUCTS[algebra]

    def tail_query(self, head_VD: Tensor, relation_V: Tensor, head_V: Tensor) -> Tensor:
        return self.product(head_VD, unit(self.vectors(relation_V), 4))


class TextTransform(Tetra):
    """-||h (x) q(text of h) / |q| + r + v(text of h) - t||^2: text turns and shifts the head, the relation shifts it.

    Robin with one source of text, Lion with two. That both texts are the head's is our reading of the paper's figure.
    """

    def __init__(
        self,
        *,
        relations: int,
        dim: int,
        rotation: dict[str, int],
        translation: dict[str, int],
        inverse: bool = True,
        init_std: float = 0.1,
        algebra: Literal["dihedron", "quaternion"] = "dihedron",
    ) -> None:
        """rotation, translation: one source of text each, name -> its number of features."""
        super().__init__(relations=relations, dim=dim, inverse=inverse, init_std=init_std, algebra=algebra)
        for key, source in (("rotation", rotation), ("translation", translation)):
            if len(source) != 1:
                raise ConfigError(f"TextTransform: {key} lists {len(source)} sources; give one, as {{words: 256}}")
        self.rotation = TextSource(*next(iter(rotation.items())), dim=self.width)
        self.translation = TextSource(*next(iter(translation.items())), dim=self.width)
        self.turn = first_values(self.rows, self.width, init_std)

    def tail_query(self, head_VD: Tensor, relation_V: Tensor, head_V: Tensor) -> Tensor:
        # The relation's own part of the rotation tells inverse relations apart, which share a text
        turned_VD = self.rotation(head_V) + F.embedding(relation_V, self.turn)
        moved_VD = self.product(head_VD, unit(turned_VD, 4))
        return moved_VD + self.vectors(relation_V) + self.translation(head_V)

    def take(self, graph: Graph) -> None:
        self.rotation.take(graph)
        self.translation.take(graph)
