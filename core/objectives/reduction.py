"""Means over the rows of all processes, in the form that data-parallel training needs.

Shape legend: n = rows in this process, G = processes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.objectives.processes import world_size


def process_mean(x_n: Tensor) -> Tensor:
    """Sum of this process's rows times G over the rows of all: the average over processes that data-parallel training
    takes is the mean over all rows, however unevenly they are spread. 0 without a row. Collective."""
    total = torch.tensor([len(x_n)], device=x_n.device)
    world = world_size()
    if world > 1:
        dist.all_reduce(total)
    return x_n.sum() * (world / max(int(total), 1))


def process_sum(x: Tensor) -> Tensor:
    """Sum of a tensor over all processes, with gradient: what every process's loss says of it. Collective."""
    return x if world_size() == 1 else _Sum.apply(x)


def process_max(value: int) -> int:
    """Largest of the processes' values. Collective."""
    if world_size() == 1:
        return value
    most = torch.tensor([value], device=_device())
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return int(most)


def _device() -> torch.device:
    """Where the process group wants its tensors."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad
