"""What a view gives: vectors, or sequences of token vectors, of the rows in which a modality is present.

Apart from the views themselves, because similarities read this and some views read similarities.
Shape legend: V = rows in which the modality is present, N = tokens, E = width of the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Viewed:
    """x: (V, E), or (V, N, E) with mask (V, N) bool, True = real; None when every token is.

    sides: what targets must know of the rows, (V, ...) tensors without gradient that travel with them.
    """

    x: Tensor
    mask: Tensor | None = None
    sides: Mapping[str, Tensor] = field(default_factory=dict)

    def rows(self, index_n: Tensor) -> Viewed:
        """The rows `index` (int64 over V)."""
        return Viewed(
            self.x[index_n],
            None if self.mask is None else self.mask[index_n],
            {name: side[index_n] for name, side in self.sides.items()},
        )
