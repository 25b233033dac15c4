"""Terms without keys in two real processes, averaged as data-parallel training does, against one with all rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from core.objectives import (
    CosineRegression,
    CrossConsistency,
    Head,
    IdentityCE,
    InModalConsistency,
    NoiseSmooth,
    OneToMany,
    ProjectionCE,
    TagBCE,
    Term,
)
from tests import gloo

EVERY = list(range(10))
SPLITS = [([0, 1, 2, 3, 4], [5, 6, 7, 8, 9]), ([3], [0, 1, 2, 4, 5, 6, 7, 8, 9])]  # row 3 has no b and no identity


def terms() -> list[Term]:
    return [
        CosineRegression(online="a", target="b"),
        CrossConsistency(rows="a", keys="b"),
        InModalConsistency(rows="a", keys="b"),
        IdentityCE(views=["a", "b"], head="id"),
        ProjectionCE(rows="a", keys="b", head="id"),
        OneToMany(rows="a", keys=["b", Head(modality="a", head="wording")], directions=(0.7, 0.3)).double(),
        OneToMany(rows="b", keys=["a"], directions=(0, 1), name="back").double(),
        TagBCE(view="b", head="id", labels=["identity", "tag", "identity"]),
    ]


def step(rows: list[int]):
    model = gloo.Tower()
    rng = torch.Generator().manual_seed(3)
    model.heads["id"] = nn.Linear(4, 3).double()
    model.heads["wording"] = nn.Linear(4, 4).double()
    with torch.no_grad():
        for p in model.heads.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=p.dtype))
    at = gloo.step(rows, model)
    nan = float("nan")
    at.batch.labels["identity"] = torch.tensor([0, 1, 0, nan, 1, 0, nan, 1, 1, 0])[rows].double()
    at.batch.labels["tag"] = torch.tensor([1, 0, 0, 1, nan, nan, nan, 1, 1, 0])[rows].double()
    return at


def noise(rows: list[int]) -> torch.Tensor:
    """What a target thinks of ten samples after one epoch in which this process saw `rows`."""
    target = NoiseSmooth(samples=10)
    losses = torch.tensor([0.1, 0.2, 3.0, 0.3, 0.1, 2.5, 0.2, 0.3, 2.8, 0.1])
    target.observe(step(rows), torch.arange(len(rows)), losses[rows])
    target.on_epoch(1)
    return target.noise_s


def measure(rank: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for number, split in enumerate(SPLITS):
        for term in terms():
            out[f"{number} {term.name}"] = gloo.mean_over_processes(gloo.loss_and_gradients(term, step(split[rank])))
        out[f"{number} noise"] = noise(split[rank])
    return out


def test_two_processes_equal_one(tmp_path):
    """Values and gradients, with rows spread evenly, and with a process that holds no pair and no label."""
    first, second = gloo.in_processes(2, measure, tmp_path)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for number in range(len(SPLITS)):
        for term in terms():
            want = gloo.loss_and_gradients(term, step(EVERY))
            assert any(t.abs().max() > 1e-3 for t in want[1:])
            for g, w in zip(first[f"{number} {term.name}"], want, strict=True):
                torch.testing.assert_close(g, w, rtol=0, atol=1e-10)
        torch.testing.assert_close(first[f"{number} noise"], noise(EVERY), rtol=0, atol=1e-6)
        assert (noise(EVERY) > 0.5).tolist() == [False, False, True, False, False, True, False, False, True, False]
