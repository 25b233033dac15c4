"""Topology preservation on two real gloo processes, averaged as data-parallel training does, against one with all."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from core.objectives import Step, TopologyPreservation
from core.types import Batch, Encoded, ModalityInput

SPLITS = [([0, 1, 2, 3, 4], [5, 6, 7]), ([3], [0, 1, 2, 4, 5, 6, 7])]  # row 3 lacks b: a process without a pair


class Tower(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.maps = nn.ParameterDict({m: torch.randn(6, 4, generator=rng, dtype=torch.float64) for m in "ab"})
        self.encoders, self.fusion, self.reads = nn.ModuleDict(), None, {"a": "a", "b": "b"}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=inp.x @ self.maps[modality])

    def project(self, modality, encoded):
        return encoded.pooled


def loss_and_gradients(rows: torch.Tensor) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(9)
    x = {m: torch.randn(8, 6, generator=rng, dtype=torch.float64) for m in "ab"}
    present = {"a": torch.ones(len(rows), dtype=torch.bool), "b": rows != 3}
    inputs = {m: ModalityInput(x[m][rows[present[m]]]) for m in "ab" if present[m].any()}
    model = Tower(5)
    step = Step(
        model=model, batch=Batch([str(i) for i in rows], inputs, present), index=0, generator=torch.Generator(),
        teachers={"old": Tower(6)},
    )  # fmt: skip
    loss = TopologyPreservation(first="a", second="b", teacher="old", temperature=0.5, tile=(2, 3))(step)["loss"]
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.maps.values())]


def worker(rank: int, port: int, path: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    results = [loss_and_gradients(torch.tensor(split[rank])) for split in SPLITS]
    for tensor in (t for split in results for t in split):
        dist.all_reduce(tensor)
        tensor /= 2
    if rank == 0:
        torch.save(results, path)
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, args=(port, str(tmp_path / "results")), nprocs=2)
    want = loss_and_gradients(torch.arange(8))
    for found in torch.load(tmp_path / "results", weights_only=True):
        for g, w in zip(found, want, strict=True):
            torch.testing.assert_close(g, w, rtol=0, atol=1e-10)
