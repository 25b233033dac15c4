"""Losses and gradients as the library gives them, in this process or in two that share the batch.

The two are fresh interpreters that import this module, so it keeps away from what is slow to import and not needed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from core.config.build import build
from core.encoders import VectorMLP
from core.encoders.base import Encoder
from core.models.dual_encoder import DualEncoder
from core.objectives import Step
from core.types import Batch, ModalityInput

Node = dict[str, Any]
Found = dict[str, dict[str, list[list[Tensor]]]]  # arm -> number type -> by divergence, loss and gradients

GATHERED, RING = "two processes, gathered", "two processes, ring"
KEYS = {GATHERED: "GatheredKeys", RING: "RingKeys"}
DTYPES = {"fp64": torch.float64, "fp32": torch.float32}
SCALE, BIAS = 8.0, -5.0  # exact in float32, in which a term stores them


@dataclass(frozen=True, slots=True)
class Design:
    """tile: rows and columns, which do not divide the batch. first: rows of the first of two processes."""

    batch_size: int = 96
    first: int = 40
    contents: int = 30
    features: int = 16
    dim: int = 12
    tile: tuple[int, int] = (17, 29)


def node(name: str, **init_args: Any) -> Node:
    return {"class_path": f"core.objectives.{name}", "init_args": init_args}


def measured(seed: int, design: Design, kind: str, keys: str, part: Tensor) -> list[list[Tensor]]:
    """By divergence: the loss of some rows of the batch, and its gradients, as the library gives them."""
    out = []
    for init_args in divergences().values():
        fitted = model(seed, design).to(DTYPES[kind])
        term = build(node("Pair", **init_args, columns=node(keys), tile=list(design.tile))).to(DTYPES[kind])
        x, content = sample(seed, design)
        batch = Batch(
            ids=[str(i) for i in part.tolist()],
            inputs={m: ModalityInput(v[part].to(DTYPES[kind])) for m, v in x.items()},
            present={m: torch.ones(len(part), dtype=torch.bool) for m in x},
            keys={"sample": part, "group": part, "content": content[part]},
        )
        step = Step(model=fitted, batch=batch, index=0, generator=torch.Generator())  # type: ignore[arg-type]
        loss = term(step)["loss"]
        out.append([loss.detach(), *torch.autograd.grad(loss, list(fitted.parameters()))])
    return out


def sample(seed: int, design: Design) -> tuple[dict[str, Tensor], Tensor]:
    """Vectors by modality in float64, holding numbers that float32 has too, and the content of each row."""
    draw = torch.Generator().manual_seed(seed)
    x = {m: torch.randn(design.batch_size, design.features, generator=draw).double() for m in ("image", "text")}
    return x, torch.randint(0, design.contents, (design.batch_size,), generator=draw)


def model(seed: int, design: Design) -> DualEncoder:
    """Linear towers, the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders: dict[str, Encoder] = {m: VectorMLP(features=design.features) for m in ("image", "text")}
        return DualEncoder(encoders=encoders, modalities={m: m for m in encoders}, dim=design.dim)


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
