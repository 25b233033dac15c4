"""A model whose encoders hand out given tokens."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.objectives import Step
from core.types import Batch, Encoded, ModalityInput, Tokens


class TokenTower(nn.Module):
    """Inputs are the tokens (V, P + N, D); the pooled vector is the mean of the real ones behind the prefix."""

    def __init__(self, width: int, dim: int, prefixes: dict[str, int], heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.encoders, self.fusion = nn.ModuleDict(), None
        self.reads = {m: m for m in prefixes}
        self.prefixes, self.d = prefixes, width
        self.projections = nn.ModuleDict({m: nn.Linear(width, dim, bias=False) for m in prefixes})
        self.heads = nn.ModuleDict(heads)
        self.projected: list[tuple[int, ...]] = []

    def encode(self, modality: str, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        tokens = Tokens(x=inp.x, mask=inp.mask, prefix=self.prefixes[modality])
        return Encoded(pooled=inp.x[:, tokens.prefix :].mean(1), tokens=tokens)

    def project(self, modality: str, encoded: Encoded) -> Tensor:
        self.projected.append(tuple(encoded.pooled.shape))
        return self.projections[modality](encoded.pooled)

    def width(self, modality: str) -> int:
        return self.d


def token_step(
    inputs: dict[str, ModalityInput],
    present: dict[str, Tensor] | None = None,
    prefixes: dict[str, int] | None = None,
    heads: dict[str, nn.Module] | None = None,
    index: int = 0,
    **keys: Tensor,
) -> Step:
    """Every row holds every modality unless `present` says otherwise."""
    rows = len(next(iter((present or inputs).values())))
    every = torch.ones(rows, dtype=torch.bool)
    width = next(iter(inputs.values())).x.shape[2]
    names = dict.fromkeys(inputs, 0) | (prefixes or {})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = TokenTower(width, 4, names, heads or {}).to(next(iter(inputs.values())).x.dtype)
    batch = Batch(
        [str(i) for i in range(rows)],
        inputs,
        dict.fromkeys(inputs, every) | (present or {}),
        keys={"sample": torch.arange(rows), **keys},
    )
    return Step(model=model, batch=batch, index=index, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def make_token_step():
    return token_step
