"""Two real gloo processes, averaged as data-parallel training does, against one process with all rows."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from core.objectives import Equality, LogScale, MaskedDuplicates, Pair, Step
from core.types import Batch, Encoded, ModalityInput

TEXT = torch.tensor([0, 1, 2, 1, 3, 0, 4, 5, 6, 1])
TARGETS = [None, Equality(key="text"), MaskedDuplicates(key="text")]


class Tower(nn.Module):
    """One linear map per modality, equal in every process."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(5)
        self.maps = nn.ParameterDict({m: torch.randn(6, 4, generator=rng, dtype=torch.float64) for m in "ab"})
        self.encoders, self.fusion, self.reads = nn.ModuleDict(), None, {"a": "a", "b": "b"}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=inp.x @ self.maps[modality])

    def project(self, modality, encoded):
        return encoded.pooled

    def width(self, modality):
        return 4


def batch(rows: torch.Tensor) -> Batch:
    """Rows of the fixed data set of ten; row 3 lacks modality b."""
    rng = torch.Generator().manual_seed(9)
    x = {m: torch.randn(10, 6, generator=rng, dtype=torch.float64) for m in "ab"}
    present = {"a": torch.ones(len(rows), dtype=torch.bool), "b": rows != 3}
    inputs = {m: ModalityInput(x[m][rows[present[m]]]) for m in "ab" if present[m].any()}
    return Batch([str(i) for i in rows], inputs, present, keys={"sample": rows, "text": TEXT[rows]})


def losses_and_gradients(rows: torch.Tensor) -> list[list[torch.Tensor]]:
    """For each target: loss and gradients of both maps and of the logarithm of the scale."""
    out = []
    for target in TARGETS:
        model = Tower()
        term = Pair(
            rows="a", keys="b", target=target, scale=LogScale(init=3.0), directions=(0.75, 0.25), tile=(2, 3)
        ).double()
        loss = term(Step(model=model, batch=batch(rows), index=0, generator=torch.Generator()))["loss"]
        loss.backward()
        out.append([loss.detach(), *(p.grad for p in model.maps.values()), term.scale.log_scale.grad])
    return out


SPLITS = [([0, 1, 2, 3, 4], [5, 6, 7, 8, 9]), ([3], [0, 1, 2, 4, 5, 6, 7, 8, 9])]


def worker(rank: int, port: int, path: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    results = [losses_and_gradients(torch.tensor(split[rank])) for split in SPLITS]
    for tensor in (t for split in results for target in split for t in target):
        dist.all_reduce(tensor)
        tensor /= 2  # what data-parallel training does to gradients
    if rank == 0:
        torch.save(results, path)
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """With rows spread 5 : 5, and 1 : 9 where the first process holds no pair at all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, args=(port, str(tmp_path / "out.pt")), nprocs=2)
    results = torch.load(tmp_path / "out.pt", weights_only=True)
    for split, got in zip(SPLITS, results, strict=True):
        want = losses_and_gradients(torch.tensor(split[0] + split[1]))
        for got_target, want_target in zip(got, want, strict=True):
            for g, w in zip(got_target, want_target, strict=True):
                torch.testing.assert_close(g, w, rtol=0, atol=1e-9)
