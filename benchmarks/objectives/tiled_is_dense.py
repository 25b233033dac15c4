"""Tiles, two real processes with gathered keys and two with keys going round a ring all give the dense loss.

Loss and gradients of four divergences, against formulas written out here on the whole matrix in float64. Two processes
hold uneven shares of the batch; their gradients are averaged as data-parallel training does.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor

from benchmarks.objectives.towers import Node, build, generator, node, rows, towers
from benchmarks.result import Goal, Options, Result, per_seed
from core.objectives import Step
from core.training.setup import build_model

TILED, GATHERED, RING = "tiles", "two processes, gathered", "two processes, ring"
KEYS = {GATHERED: "GatheredKeys", RING: "RingKeys"}
DTYPES = {"fp64": torch.float64, "fp32": torch.float32}
SCALE, BIAS, EPS = 8.0, -5.0, 1e-8  # scale and bias are exact in float32, in which they are stored
LEAST = 6.0
MOST = 16.0  # digits of an exact agreement


@dataclass(frozen=True, slots=True)
class Design:
    """tile: rows and columns, which do not divide the batch. first: rows of the first of two processes."""

    batch_size: int = 96
    first: int = 40
    contents: int = 30
    features: int = 16
    dim: int = 12
    tile: tuple[int, int] = (17, 29)


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
        config={"design": asdict(design), "model": model(design), "objectives": divergences()},
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


def measured(seed: int, design: Design, kind: str, keys: str, part: Tensor) -> list[list[Tensor]]:
    """By divergence: the loss of some rows of the batch, and its gradients, as the library gives them."""
    out = []
    for init_args in divergences().values():
        fitted = build_model(model(design), seed).to(DTYPES[kind])
        term = build(node("Pair", **init_args, columns=node(keys), tile=list(design.tile))).to(DTYPES[kind])
        x, content = sample(seed, design)
        batch = rows({m: v.to(DTYPES[kind]) for m, v in x.items()}, content=content).batch(part.numpy())
        loss = term(Step(model=fitted, batch=batch, index=0, generator=generator(seed)))["loss"]
        out.append([loss.detach(), *torch.autograd.grad(loss, list(fitted.parameters()))])
    return out


def dense(seed: int, design: Design) -> list[list[Tensor]]:
    """The same from the whole matrix."""
    out = []
    x, content = sample(seed, design)
    for formula in FORMULAS.values():
        fitted = build_model(model(design), seed).double()
        u, v = (F.normalize(fitted.project(m, fitted.encode(m, row)), dim=1) for m, row in rows(x).inputs.items())
        loss = formula(u @ v.T, content)
        out.append([loss.detach(), *torch.autograd.grad(loss, list(fitted.parameters()))])
    return out


def sample(seed: int, design: Design) -> tuple[dict[str, Tensor], Tensor]:
    """Vectors by modality in float64, holding numbers that float32 has too, and the content of each row."""
    draw = generator(seed)
    x = {m: torch.randn(design.batch_size, design.features, generator=draw).double() for m in ("image", "text")}
    return x, torch.randint(0, design.contents, (design.batch_size,), generator=draw)


def model(design: Design) -> Node:
    return towers(dict.fromkeys(("image", "text"), design.features), dim=design.dim)


def divergences() -> dict[str, Node]:
    """Name -> arguments of a Pair."""
    sides = {"rows": "image", "keys": "text"}
    sharp, shared = node("FixedScale", temperature=1 / SCALE), node("Equality", key="content")
    biased = node("Temperature", init=1 / SCALE, bias=BIAS)
    return {
        "InfoNCE": {**sides, "scale": sharp, "directions": [0.5, 0.5]},
        "multi-positive": {**sides, "scale": sharp, "target": shared, "directions": [0.75, 0.25]},
        "SDM": {**sides, "scale": sharp, "target": shared, "divergence": node("ReverseKL"), "directions": [1, 1]},
        "sigmoid": {**sides, "scale": biased, "divergence": node("Sigmoid"), "directions": [1, 0]},
    }


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


Found = dict[str, dict[str, list[list[Tensor]]]]  # arm -> number type -> by divergence, loss and gradients


def in_two_processes(seeds: Sequence[int], design: Design, folder: Path) -> list[Found]:
    """By seed, what both processes found together."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "two-processes.pt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_process, args=(port, tuple(seeds), design, str(out)), nprocs=2)
    found: list[Found] = torch.load(out, weights_only=True)
    out.unlink()
    return found


def _process(rank: int, port: int, seeds: tuple[int, ...], design: Design, out: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    part = torch.arange(design.first) if rank == 0 else torch.arange(design.first, design.batch_size)
    found = [
        {
            arm: {kind: _averaged(measured(seed, design, kind, keys, part)) for kind in DTYPES}
            for arm, keys in KEYS.items()
        }
        for seed in seeds
    ]
    if rank == 0:
        torch.save(found, out)
    dist.destroy_process_group()


def _averaged(found: list[list[Tensor]]) -> list[list[Tensor]]:
    """The mean over processes, of gradients and of losses alike."""
    for tensors in found:
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor /= dist.get_world_size()
    return found
