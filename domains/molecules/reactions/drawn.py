"""Contexts of an epoch as training samples: a function of (seed, epoch, row), never of who loads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset

from core.errors import DataError
from domains.molecules.reactions.context import Context, Member
from domains.molecules.reactions.styles import NO_REACTION, Drawn, style

if TYPE_CHECKING:
    from domains.molecules.reactions.layouts import ReactionContexts

MODALITY = "context"


class DrawnContexts(Dataset[dict[str, Any]]):
    """Samples of the contexts that a layout's style draws. Every epoch has as many; molecules whose graph cannot be
    made are left out of their context."""

    def __init__(self, layout: ReactionContexts, processors: Mapping[str, Any], *, seed: int) -> None:
        self.layout, self.processor, self.seed = layout, processors[MODALITY], seed
        self._epoch, self._drawn = -1, list[Drawn]()
        self._size = len(self._draw(0))

    def __len__(self) -> int:
        return self._size

    def _draw(self, epoch: int) -> list[Drawn]:
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._drawn = style(self.layout.style)(self.layout.numbered[1], self.layout.plan, rng)
            self._epoch = epoch
        return self._drawn

    def context(self, epoch: int, row: int) -> Context:
        """The context of a row of an epoch."""
        reaction, numbers = self._draw(epoch)[row]
        molecules = self.layout.numbered[0]
        roles = {} if reaction == NO_REACTION else self.layout.roles(reaction)
        return Context(tuple(self.layout.member(molecules[i], roles.get(molecules[i], "")) for i in numbers))

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        epoch, row = item
        context = self.context(epoch, row)
        try:
            sample = self.processor.encode_context(context)
        except DataError:
            kept = tuple(member for member in context.members if self._readable(member))
            sample = self.processor.encode_context(Context(kept)) if kept else None
        return {
            "id": f"{epoch}-{row}", "group": str(row), "index": row, "labels": {},
            "inputs": {} if sample is None else {MODALITY: sample},
        }  # fmt: skip

    def _readable(self, member: Member) -> bool:
        try:
            self.processor.encode_context(Context((member,)))
        except DataError:
            return False
        return True
