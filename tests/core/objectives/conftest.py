"""A small two-tower model of real modules, and batches for it, shared by the tests of the objectives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from core.objectives import Step
from core.types import Batch, Encoded, ModalityInput


class LinearTower(nn.Module):
    """x (V, F) -> pooled (V, D)."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(features, width)

    def forward(self, inp: ModalityInput) -> Encoded:
        return Encoded(pooled=self.linear(inp.x))


class TwoTowers(nn.Module):
    """Vectors in, vectors out: enough for every pairwise term."""

    def __init__(self, *, features: int = 6, width: int = 5, dim: int = 4) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({"a": LinearTower(features, width), "b": LinearTower(features, width)})
        self.projections = nn.ModuleDict({"a": nn.Linear(width, dim), "b": nn.Linear(width, dim)})
        self.reads = {"a": "a", "b": "b"}
        self.fusion = None
        self.heads = nn.ModuleDict()
        self.forwards = 0

    def encode(self, modality: str, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        self.forwards += 1
        return self.encoders[modality](inp)

    def project(self, modality: str, encoded: Encoded) -> Tensor:
        return self.projections[modality](encoded.pooled)

    def width(self, modality: str) -> int:
        return self.encoders[modality].width


class Given(nn.Module):
    """Embeddings that are parameters themselves, for closed forms and gradient checks."""

    def __init__(self, **embeddings: Tensor) -> None:
        super().__init__()
        self.vectors = nn.ParameterDict(embeddings)
        self.encoders = nn.ModuleDict()
        self.reads = {name: name for name in embeddings}
        self.fusion = None
        self.heads = nn.ModuleDict()

    def encode(self, modality: str, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        return Encoded(pooled=self.vectors[modality])

    def project(self, modality: str, encoded: Encoded) -> Tensor:
        return encoded.pooled

    def width(self, modality: str) -> int:
        return self.vectors[modality].shape[1]


def vector_batch(
    a_VF: Tensor, b_VF: Tensor, present_a: Tensor | None = None, present_b: Tensor | None = None, **keys: Tensor
) -> Batch:
    """A batch of two vector modalities; a_VF and b_VF hold the present rows."""
    rows = len(a_VF) if present_a is None else len(present_a)
    every = torch.ones(rows, dtype=torch.bool)
    present = {"a": every if present_a is None else present_a, "b": every if present_b is None else present_b}
    inputs = {name: ModalityInput(x) for name, x in (("a", a_VF), ("b", b_VF)) if len(x)}
    return Batch([str(i) for i in range(rows)], inputs, present, keys={"sample": torch.arange(rows), **keys})


def given_step(a_VE: Tensor, b_VE: Tensor, **batch: Tensor) -> Step:
    """A step whose embeddings are exactly a and b."""
    return Step(
        model=Given(a=nn.Parameter(a_VE.clone()), b=nn.Parameter(b_VE.clone())),
        batch=vector_batch(a_VE, b_VE, **batch),
        index=0,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.fixture
def make_step() -> Callable[..., Step]:
    return given_step


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    return vector_batch


@pytest.fixture
def two_towers() -> TwoTowers:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return TwoTowers()
