"""Logits of pixels that are parameters themselves, for closed forms and gradient checks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.objectives import Step
from core.types import Batch, Encoded, ModalityInput


class AsItIs(nn.Module):
    """Logits are the coarsest map; with `auxiliary`, so are those of two more outputs."""

    def __init__(self, *, auxiliary: bool = False) -> None:
        super().__init__()
        self.auxiliary = auxiliary

    def forward(self, pyramid, size):
        return [pyramid[-1], 2 * pyramid[-1], -pyramid[-1]] if self.auxiliary else pyramid[-1]


class GivenMaps(nn.Module):
    def __init__(self, **maps) -> None:
        super().__init__()
        self.maps = nn.ParameterDict(maps)
        self.encoders, self.fusion, self.frozen = nn.ModuleDict(), None, []
        self.heads = nn.ModuleDict({"labels": AsItIs(), "more": AsItIs(auxiliary=True)})
        self.reads = {name: name for name in maps}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        rows = inp.x[:, 0, 0, 0].long()  # row of the map that stands for it
        return Encoded(pooled=inp.x[:, 0, 0], pyramid=[self.maps[modality][rows]])


def make_step(model, masks, *, present=None, valid=None, seed=0):
    """A batch in which row v of a modality's input is its v-th map."""
    rows = len(next(iter(masks.values())))
    present = {name: torch.ones(rows, dtype=torch.bool) for name in model.maps} | (present or {})
    size = next(iter(model.maps.values())).shape[-2:]
    inputs = {}
    for name in model.maps:
        count = int(present[name].sum())
        x = torch.arange(float(count))[:, None, None, None].expand(count, 1, *size)
        extra = {"valid": valid[name]} if valid and name in valid else {}
        if count:
            inputs[name] = ModalityInput(x, None, extra)
    batch = Batch([str(i) for i in range(rows)], inputs, present, masks=masks)
    return Step(model=model, batch=batch, index=0, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def drawn():
    """(V, K, H, W) float64 logits by modality, and a label map with unknown pixels."""
    rng = torch.Generator().manual_seed(0)
    shape = (3, 4, 5, 6)
    maps = {name: 2 * torch.randn(shape, generator=rng, dtype=torch.float64) for name in ("a", "b")}
    labels = torch.randint(-1, 3, (3, 5, 6), generator=rng)  # class 3 never occurs
    return maps, labels


@pytest.fixture
def given():
    return GivenMaps


@pytest.fixture
def step_of():
    return make_step
