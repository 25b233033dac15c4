"""What a level is: each side is prepared once, then any block of pairs can be scored.

Shape legend: M = mentions, G = entities, S = scores of a level, h = width of what is compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from domains.molecules.linking.card import Card

Prepared = tuple[Tensor, ...]  # tensors whose first axis is the rows of a side


class Level(nn.Module, ABC):
    """`mention` and `entity` prepare a side, row by row; `scores` compares blocks of prepared rows.

    names: of the scores, "" where there is one and the level's own name says it all. needs_pictures: whether a pair
    without two pictures has nothing to learn from.
    """

    names: tuple[str, ...] = ("",)
    needs_pictures: bool = False

    @abstractmethod
    def mention(self, card: Card) -> Prepared: ...

    def entity(self, card: Card) -> Prepared:
        return self.mention(card)

    def scores(self, mention: Prepared, entity: Prepared) -> Tensor:
        """(S, M, G). Here the products of S vectors per row."""
        return torch.stack([a_Mh @ b_Gh.T for a_Mh, b_Gh in zip(mention, entity, strict=True)])

    def floats_per_pair(self, mention: Prepared, entity: Prepared) -> int:
        """Numbers that a pair needs at once, beside its scores."""
        return len(self.names)
