"""Tiles, two real processes with gathered keys and two with keys going round a ring all give the dense loss.

Loss and gradients of four divergences, against formulas written out here on the whole matrix in float64. Two processes
hold uneven shares of the batch; their gradients are averaged as data-parallel training does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.objectives.two_processes import (
    BIAS,
    DTYPES,
    GATHERED,
    RING,
    SCALE,
    Design,
    divergences,
    in_two_processes,
    measured,
    model,
    sample,
)
from benchmarks.result import Goal, Options, Result, per_seed
from core.types import ModalityInput

TILED = "tiles"
EPS = 1e-8  # of the reverse KL
LEAST = 6.0
MOST = 16.0  # digits of an exact agreement


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="tiled_is_dense",
        claim=(__doc__ or "").split("\n")[0],
        source="the project's own claim of exactness",
        data="random vectors, some of them with the same content",
        simulated=True,
        rule="digits of agreement, -log10 of the largest difference of loss and gradients relative to their largest "
        f"entry, the worst of {', '.join(divergences())}; {MOST:.0f} when nothing differs",
        seeds=options.seeds,
        values=per_seed(every_seed(options.seeds, design, options.folder)),
        config={"design": asdict(design), "objectives": divergences()},
        goals=tuple(Goal(kind, arm, LEAST) for arm in (TILED, GATHERED, RING) for kind in DTYPES),
    )


def every_seed(seeds: Sequence[int], design: Design, folder: Path) -> list[dict[str, dict[str, float]]]:
    """The two processes are started once for all seeds: to start them costs more than what they do."""
    everything = torch.arange(design.batch_size)
    out = []
    for seed, found in zip(seeds, in_two_processes(seeds, design, folder), strict=True):
        found[TILED] = {kind: measured(seed, design, kind, "GatheredKeys", everything) for kind in DTYPES}
        want = dense(seed, design)
        out.append({arm: {kind: agreement(got, want) for kind, got in kinds.items()} for arm, kinds in found.items()})
    return out


def agreement(got: list[list[Tensor]], want: list[list[Tensor]]) -> float:
    """The worst over divergences of loss and of each gradient."""
    worst = max(
        float((g.double() - w).abs().max() / w.abs().max())
        for one, other in zip(got, want, strict=True)
        for g, w in zip(one, other, strict=True)
    )
    return MOST if worst == 0 else min(MOST, -math.log10(worst))


def dense(seed: int, design: Design) -> list[list[Tensor]]:
    """The same from the whole matrix."""
    out = []
    x, content = sample(seed, design)
    for formula in FORMULAS.values():
        fitted = model(seed, design).double()
        u, v = (F.normalize(fitted.project(m, fitted.encode(m, ModalityInput(row))), dim=1) for m, row in x.items())
        loss = formula(u @ v.T, content)
        out.append([loss.detach(), *torch.autograd.grad(loss, list(fitted.parameters()))])
    return out


def shares(content: Tensor) -> Tensor:
    """(N, N) float64: 1 over the number of equal contents where they are equal."""
    same = (content[:, None] == content).double()
    return same / same.sum(1, keepdim=True)


def info_nce(cosine: Tensor, content: Tensor) -> Tensor:
    z, own = SCALE * cosine, torch.arange(len(cosine))
    return (F.cross_entropy(z, own) + F.cross_entropy(z.T, own)) / 2


def multi_positive(cosine: Tensor, content: Tensor) -> Tensor:
    z, q = SCALE * cosine, shares(content)
    return 0.75 * F.cross_entropy(z, q) + 0.25 * F.cross_entropy(z.T, q)


def sdm(cosine: Tensor, content: Tensor) -> Tensor:
    log_q = (shares(content) + EPS).log()
    both = [(SCALE * z).log_softmax(1) for z in (cosine, cosine.T)]
    return torch.stack([(log_p.exp() * (log_p - log_q)).sum(1).mean() for log_p in both]).sum()


def sigmoid(cosine: Tensor, content: Tensor) -> Tensor:
    z = SCALE * cosine + BIAS
    return F.binary_cross_entropy_with_logits(z, torch.eye(len(z), dtype=z.dtype), reduction="sum") / len(z)


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "InfoNCE": info_nce, "multi-positive": multi_positive, "SDM": sdm, "sigmoid": sigmoid
}  # fmt: skip
