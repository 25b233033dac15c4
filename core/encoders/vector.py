"""Features that were made elsewhere: measured vectors, or those of a model that is not part of the run.

Shape legend: V = rows in which the modality is present, N = parts of a row, F = features, D = width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError, DataError
from core.nn import MeanPool, Pooling
from core.types import Encoded, ModalityInput, Tokens


class VectorMLP(Encoder):
    """Vectors (V, F), or a set of them per row (V, N, F) with mask (V, N), through linear - GELU layers of `widths`.

    No activation after the last layer; `widths: []` gives the features as they are. Sets become tokens, each encoded on
    its own, and `pool` over the real ones (the mean when None).
    Raises DataError for vectors of another length.
    """

    def __init__(self, *, features: int, widths: Sequence[int] = (), pool: Pooling | None = None) -> None:
        super().__init__()
        sizes = [features, *widths]
        if min(sizes) < 1:
            raise ConfigError(f"VectorMLP: features {features} and widths {list(widths)} must be positive")
        self.features, self.width = features, sizes[-1]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(sizes)):
            layers += [nn.GELU()] if i else []
            layers.append(nn.Linear(before, after))
        self.layers = nn.Sequential(*layers)
        self.pool = MeanPool() if pool is None else pool

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        if inp.x.ndim not in (2, 3) or inp.x.shape[-1] != self.features:
            raise DataError(
                f"VectorMLP got shape {tuple(inp.x.shape)}; expected (V, {self.features}) or (V, N, {self.features})"
            )
        x = self.layers(inp.x)
        if x.ndim == 2:
            return Encoded(pooled=x)
        return Encoded(pooled=self.pool(x, inp.mask), tokens=Tokens(x=x, mask=inp.mask, grid=(x.shape[1],)))
