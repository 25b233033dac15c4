"""Entities of a knowledge graph as tokens: vectors that a link loss shapes, read by ids of neighbours.

Shape legend: V = rows, N = neighbours of a row, E = entities, D = width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.encoders.base import BlockHook
from core.nn import MeanPool
from core.types import Encoded, ModalityInput, Tokens
from domains.molecules.kg.encoder import LinkEncoder
from domains.molecules.kg.entities import Entities
from domains.molecules.kg.links import Links


class PaddedEntities(Entities):
    """MolFM's table: E rows of unit length, and a last row of zeros that stands for no entity and is never trained.

    Rows are divided by their length whenever they are read, with gradient; the released code does it to the stored
    values before each step, outside autograd, and leaves its last row at random values.
    """

    def __init__(self, *, entities: int, width: int) -> None:
        """First values are uniform within 6 / sqrt(width) of 0 (Bordes et al. 2013)."""
        super().__init__()
        self.count, self.width = entities, width
        self.vector = nn.Parameter(torch.empty(entities + 1, width).uniform_(-6 / width**0.5, 6 / width**0.5))
        with torch.no_grad():
            self.vector[entities] = 0.0

    @property
    def padding(self) -> int:
        """The id of no entity."""
        return self.count

    def rows(self, ids: Tensor) -> Tensor:
        return F.normalize(F.embedding(ids, self.vector, padding_idx=self.count), dim=-1)

    def every(self) -> Tensor:
        return F.normalize(self.vector[: self.count], dim=-1)


class KnowledgeEncoder(LinkEncoder):
    """A `LinkEncoder` that also reads neighbours: ids (V, N) with a mask -> tokens (V, N, D), zeros where masked, and
    their mean. Triples (V, 3) come without a mask."""

    def __init__(self, *, entities: PaddedEntities, links: Links) -> None:
        super().__init__(entities=entities, links=links)
        self.mean = MeanPool()

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        if inp.mask is None:
            return super().forward(inp, keep=keep, want=want, hooks=hooks)
        self.refuse_steps(keep, want, hooks)
        assert isinstance(self.entities, PaddedEntities)
        x_VND = self.entities.rows(inp.x.masked_fill(~inp.mask, self.entities.padding))
        return Encoded(pooled=self.mean(x_VND, inp.mask), tokens=Tokens(x=x_VND, mask=inp.mask))
