"""Rows also compete with the other rows of their own modality: intra-modal negatives.

Shape legend: n = pairs in this process, E = width of the vectors.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.keys.base import Keys, Occasion, Problem
from core.objectives.contrast.targets import Ids
from core.objectives.viewed import Viewed


class OwnSideNegatives(Keys):
    """Columns of row a_i: all b_j, and `share` times all a_j but itself (M3EL, Hu et al. 2025: share 0.8).

    A row is not compared with itself: its own column leaves the denominator, as do all of equal content, so the target
    has to leave out equal content too (`MaskedDuplicates`). With unit vectors all at right angles but for the pairs and
    a temperature t the loss is ln(1 + (2n - 2) e^(-1/t)); with all scores equal, ln(2n - 1).
    (The released code multiplies the similarity of a row with itself by 0 instead, which leaves e^0 in the
    denominator: 2n - 1 and 2n in these formulas.)
    Vectors only; the pairs of this process. The similarity has to be a product of vectors: `Cosine`, `Dot`.
    """

    def __init__(self, *, share: float = 0.8) -> None:
        """share: factor on similarities within a side, above 0."""
        super().__init__()
        if share <= 0:
            raise ConfigError(f"OwnSideNegatives: share is {share}; give a factor above 0, for instance 0.8")
        self.share = share

    @property
    def key(self) -> Hashable:
        return OwnSideNegatives, self.share

    @property
    def collective(self) -> bool:
        return False

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        if a.x.ndim != 2 or b.x.ndim != 2:
            raise ConfigError("OwnSideNegatives compares vectors; give views of one vector per row")
        n = len(a.x)
        item_n = torch.arange(n, device=a.x.device)
        rows = Ids(item_n, content_n)
        cols = Ids(torch.cat([item_n, item_n + n]), torch.cat([content_n, content_n]))
        found = []
        for own, other, share in ((a, b, shares[0]), (b, a, shares[1])):
            if share > 0:
                both = Viewed(torch.cat([other.x, self.share * own.x]), sides=_joined(other, own))
                found.append(Problem(own, both, rows, cols, share, None, pairs=max(1, 2 * n - 1)))
        return found


def _joined(first: Viewed, second: Viewed) -> dict[str, Tensor]:
    return {name: torch.cat([side, second.sides[name]]) for name, side in first.sides.items() if name in second.sides}
