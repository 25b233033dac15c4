"""Published models of links: TransE, DistMult, ComplEx, RotatE, QuatE.

Shape legend as in `links`: V = triples, D = width of an entity = parts * d.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.molecules.kg.algebra import (
    complex_conjugate,
    complex_product,
    quaternion_conjugate,
    quaternion_product,
    unit,
)
from domains.molecules.kg.links import FactorLinks, Links
from domains.molecules.kg.match import Distance, Dot, Match, SumOfModuli


class TransE(FactorLinks):
    """-||h + r - t||_p (Bordes et al. 2013)."""

    def __init__(
        self, *, relations: int, dim: int, inverse: bool = False, init_std: float = 0.0, p: Literal[1, 2] = 1
    ) -> None:
        super().__init__(relations=relations, dim=dim, inverse=inverse, init_std=init_std)
        self.p = p
        self.match: Match = Distance(p)

    def tail_query(self, head_VD: Tensor, relation_V: Tensor, head_V: Tensor) -> Tensor:
        return head_VD + self.vectors(relation_V)

    def head_query(self, tail_VD: Tensor, relation_V: Tensor) -> Tensor:
        return tail_VD - self.vectors(relation_V)


class UnitTransE(TransE):
    """TransE as MolFM has it (Luo et al. 2023): a relation is divided by the sum of its moduli whenever it is read."""

    def vectors(self, relation_V: Tensor) -> Tensor:
        return F.normalize(super().vectors(relation_V), p=1.0, dim=-1)


class DistMult(FactorLinks):
    """<h, r, t> (Yang et al. 2015); symmetric in head and tail."""

    match: Match = Dot()

    def tail_query(self, head_VD: Tensor, relation_V: Tensor, head_V: Tensor) -> Tensor:
        return head_VD * self.vectors(relation_V)

    def head_query(self, tail_VD: Tensor, relation_V: Tensor) -> Tensor:
        return tail_VD * self.vectors(relation_V)


class ComplEx(FactorLinks):
    """Re <h, r, conj(t)> (Trouillon et al. 2016). With zero imaginary parts it is DistMult."""

    parts: ClassVar[int] = 2
    match: Match = Dot()

    def tail_query(self, head_VD: Tensor, relation_V: Tensor, head_V: Tensor) -> Tensor:
        return complex_product(head_VD, self.vectors(relation_V))

    def head_query(self, tail_VD: Tensor, relation_V: Tensor) -> Tensor:
        return complex_product(tail_VD, complex_conjugate(self.vectors(relation_V)))


class RotatE(Links):
    """-|h r - t| with every coordinate of r on the unit circle (Sun et al. 2019). relation: its angles, in radians.

    modulus: "sum" of the coordinates' moduli, as published, or the "euclidean" length over all of them, which a matrix
    product can give.
    """

    parts: ClassVar[int] = 2

    def __init__(
        self, *, relations: int, dim: int, inverse: bool = False, modulus: Literal["sum", "euclidean"] = "sum"
    ) -> None:
        super().__init__(relations=relations, dim=dim, inverse=inverse)
        self.modulus = modulus
        self.match: Match = SumOfModuli() if modulus == "sum" else Distance(2)
        self.phase = nn.Parameter(torch.empty(self.rows, dim).uniform_(-math.pi, math.pi))

    def rotation(self, relation_V: Tensor) -> Tensor:
        """(V, 2 d) cosines, then sines."""
        phase_Vd = F.embedding(relation_V, self.phase)
        return torch.cat([phase_Vd.cos(), phase_Vd.sin()], dim=-1)

    def tail_query(self, head_VD: Tensor, relation_V: Tensor, head_V: Tensor) -> Tensor:
        return complex_product(head_VD, self.rotation(relation_V))

    def head_query(self, tail_VD: Tensor, relation_V: Tensor) -> Tensor:
        return complex_product(tail_VD, complex_conjugate(self.rotation(relation_V)))


class QuatE(FactorLinks):
    """<h (x) r / |r|, t> with Hamilton's product (Zhang et al. 2019)."""

    parts: ClassVar[int] = 4
    match: Match = Dot()

    def tail_query(self, head_VD: Tensor, relation_V: Tensor, head_V: Tensor) -> Tensor:
        return quaternion_product(head_VD, unit(self.vectors(relation_V), 4))

    def head_query(self, tail_VD: Tensor, relation_V: Tensor) -> Tensor:
        return quaternion_product(tail_VD, quaternion_conjugate(unit(self.vectors(relation_V), 4)))
