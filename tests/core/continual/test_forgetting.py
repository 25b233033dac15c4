"""Three clusters learned one after the other: with the old model's topology kept, the old ones are found more often."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import Encoder
from core.evaluation.continual import continual_scores
from core.models import DualEncoder
from core.objectives import FixedScale, FrozenTeacher, Objective, Pair, Step, TopologyPreservation
from core.types import Batch, Encoded, ModalityInput

FEATURES, LATENT, STEPS = 16, 6, 120


class Tower(Encoder):
    width = 64

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        return Encoded(pooled=self.net(inp.x))


def cluster(task: int, seed: int, rows: int, g: torch.Generator) -> list[Tensor]:
    """Pairs of one task: a centre of its own, and a map from the common latent that partly is."""
    common, own = torch.Generator().manual_seed(77 + seed), torch.Generator().manual_seed(1000 * seed + task)
    z = torch.randn(rows, LATENT, generator=g)
    return [
        z @ (torch.randn(LATENT, FEATURES, generator=common) + 0.3 * torch.randn(LATENT, FEATURES, generator=own))
        + 2 * torch.randn(FEATURES, generator=own)
        + 0.3 * torch.randn(rows, FEATURES, generator=g)
        for _ in range(2)
    ]


def batch(a: Tensor, b: Tensor) -> Batch:
    every = torch.ones(len(a), dtype=torch.bool)
    inputs = {"a": ModalityInput(a), "b": ModalityInput(b)}
    return Batch([str(i) for i in range(len(a))], inputs, {"a": every, "b": every})


@torch.no_grad()
def recall(model: DualEncoder, a: Tensor, b: Tensor) -> float:
    x, y = (F.normalize(v, dim=1) for v in model({"a": ModalityInput(a), "b": ModalityInput(b)}).values())
    s, i = x @ y.T, torch.arange(len(a))
    return float(((s.argmax(1) == i).float().mean() + (s.argmax(0) == i).float().mean()) / 2)


def learned(seed: int, keeps: bool) -> np.ndarray:
    """R@1 on task k after task t."""
    g = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = DualEncoder(encoders={"a": Tower(), "b": Tower()}, modalities={"a": "a", "b": "b"}, dim=16)
    tests, trains = ([cluster(t, seed, rows, g) for t in range(3)] for rows in (150, 800))
    figure_TT = np.full((3, 3), math.nan)
    for t in range(3):
        terms, teachers = [Pair(rows="a", keys="b", scale=FixedScale())], {}
        if keeps and t > 0:
            terms.append(TopologyPreservation(first="a", second="b", teacher="old"))
            teachers["old"] = FrozenTeacher()
        objective = Objective(terms=terms, teachers=teachers)
        objective.attach(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
        for i in range(STEPS):
            rows = torch.randint(800, (64,), generator=g)
            here = batch(*(x[rows] for x in trains[t]))
            step = Step(model=model, batch=here, index=i, generator=g, teachers=objective.teacher_models())
            optimizer.zero_grad()
            objective(step)[0].backward()
            optimizer.step()
        for k in range(t + 1):
            figure_TT[t, k] = recall(model, *tests[k])
    return figure_TT


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_keeping_the_topology_forgets_less_than_fine_tuning_does(seed):
    """What it costs is shown too: the last task is learned less well, so the mean over all tasks is not the claim."""
    plain, kept = (learned(seed, keeps) for keeps in (False, True))
    assert kept[2, :2].mean() > plain[2, :2].mean()
    assert continual_scores(kept).forgetting < continual_scores(plain).forgetting
    assert kept[2, 2] < plain[2, 2]
