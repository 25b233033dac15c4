"""Real gloo processes for the tests of keys, and one small model that is the same in each of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from core.objectives import Pair, Step
from core.types import Batch, Encoded, ModalityInput

TEXT = torch.tensor([0, 1, 2, 1, 3, 0, 4, 5, 6, 1])


class Tower(nn.Module):
    """One linear map per modality, equal in every process. frozen: modalities without gradient."""

    def __init__(self, frozen: str = "", seed: int = 5) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.maps = nn.ParameterDict({m: torch.randn(6, 4, generator=rng, dtype=torch.float64) for m in "ab"})
        self.encoders, self.heads, self.fusion = nn.ModuleDict(), nn.ModuleDict(), None
        self.reads = {"a": "a", "b": "b"}
        for name in frozen:
            self.maps[name].requires_grad_(False)

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=inp.x @ self.maps[modality])

    def project(self, modality, encoded):
        return encoded.pooled

    def width(self, modality):
        return 4


def batch(rows: Tensor, seed: int = 9) -> Batch:
    """Rows of a fixed data set of ten; row 3 lacks modality b."""
    rng = torch.Generator().manual_seed(seed)
    x = {m: torch.randn(10, 6, generator=rng, dtype=torch.float64) for m in "ab"}
    present = {"a": torch.ones(len(rows), dtype=torch.bool), "b": rows != 3}
    inputs = {m: ModalityInput(x[m][rows[present[m]]]) for m in "ab" if present[m].any()}
    return Batch([str(i) for i in rows], inputs, present, keys={"sample": rows, "text": TEXT[rows]})


def step(rows: Sequence[int], model: nn.Module | None = None, index: int = 0, seed: int = 9, **teachers: Any) -> Step:
    return Step(
        model=Tower() if model is None else model,
        batch=batch(torch.tensor(rows, dtype=torch.int64), seed),
        index=index,
        generator=torch.Generator().manual_seed(index),
        teachers=teachers,
    )


def loss_and_gradients(term: Pair, at: Step) -> list[Tensor]:
    """Loss and gradients of all trained parameters of model and term; zeros where a parameter has no gradient."""
    parameters = [p for p in (*at.model.parameters(), *term.parameters()) if p.requires_grad]
    loss = term(at)["loss"]
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [loss.detach().double(), *(torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads))]


def mean_over_processes(tensors: Sequence[Tensor]) -> list[Tensor]:
    """What data-parallel training makes of gradients."""
    out = []
    for tensor in tensors:
        total = tensor.clone()
        dist.all_reduce(total)
        out.append(total / dist.get_world_size())
    return out


def in_processes(world: int, work: Callable[[int], Any], folder: Path) -> list[Any]:
    """`work(rank)` in `world` processes that know one another; what each returned, in rank order."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_worker, args=(world, port, work, str(folder)), nprocs=world)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def _worker(rank: int, world: int, port: int, work: Callable[[int], Any], folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    torch.save(work(rank), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
