"""Rows travel between processes: concatenations in rank order, with or without gradient.

Shape legend: n = rows in this process, N = rows in all processes of a group, E = width.
Every function here is collective over its group (None: all processes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.objectives.views import Viewed

Group = dist.ProcessGroup | None


def world_size() -> int:
    """Number of processes; 1 where training is not distributed. Not collective."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rows_of_all(n: int, device: torch.device, group: Group = None) -> list[int]:
    """Rows in every process of the group."""
    own = torch.tensor([n], device=device)
    out = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(out, own, group=group)
    return [int(t) for t in out]


def mean_of_all(x: Tensor) -> Tensor:
    """Elementwise mean of a tensor over processes, without gradient; itself where training is not distributed."""
    if world_size() == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def gather_ready(viewed: Viewed, group: Group = None) -> Viewed:
    """The same view with the trailing shape that the other processes have: one without a pair may not know the width,
    and the longest sequence of tokens decides how many all are padded to."""
    x = viewed.x
    sides = {name: gather_ready(Viewed(side), group).x for name, side in sorted(viewed.sides.items())}
    own = torch.tensor([x.ndim, *x.shape[1:], *[0] * (3 - x.ndim)], device=x.device)
    dist.all_reduce(own, op=dist.ReduceOp.MAX, group=group)
    ndim, *tail = own.tolist()
    tail = tail[: ndim - 1]
    if ndim == 1:
        return viewed if x.ndim == 1 else Viewed(x.new_zeros(0))
    if ndim == 2:
        same = list(x.shape[1:]) == tail
        return Viewed(x if same else x.new_zeros(0, *tail) + x.sum(), viewed.mask, sides)
    tokens, width = tail
    mask = viewed.mask
    if x.ndim < 3 or x.shape[2] != width:
        return Viewed(
            x.new_zeros(0, tokens, width) + x.sum(), torch.zeros(0, tokens, dtype=torch.bool, device=x.device), sides
        )
    if mask is None:  # sequences of other processes may be shorter, so the mask has to travel
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    missing = tokens - x.shape[1]
    return Viewed(F.pad(x, (0, 0, 0, missing)), F.pad(mask, (0, missing)), sides)


def same_need_of_gradient(viewed: Viewed, group: Group = None) -> Viewed:
    """The same view, with gradient exactly where the processes that hold rows have one: what an empty process puts in
    their place must not make it take part in another exchange than the others."""
    x = viewed.x
    flag = torch.tensor([int(len(x) > 0 and x.requires_grad)], device=x.device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=group)
    if bool(flag) == x.requires_grad:
        return viewed
    return Viewed(x.detach().requires_grad_(bool(flag)), viewed.mask, viewed.sides)


def gather_viewed(viewed: Viewed, counts: list[int], group: Group = None) -> Viewed:
    """Rows of every process in rank order, with gradient; give it what `gather_ready` returned."""
    return _gathered(_Gather.apply(viewed.x, counts, group), viewed, counts, group)


def gather_released(viewed: Viewed, counts: list[int], group: Group = None) -> Viewed:
    """Rows of every process, without gradient but in this process's own."""
    rank = dist.get_rank(group)
    start, stop = sum(counts[:rank]), sum(counts[: rank + 1])
    all_x = gather(viewed.x.detach(), counts, group)
    return _gathered(torch.cat([all_x[:start], viewed.x, all_x[stop:]]), viewed, counts, group)


def _gathered(x: Tensor, viewed: Viewed, counts: list[int], group: Group) -> Viewed:
    """All rows x with the gathered mask and sides."""
    mask = None if viewed.mask is None else gather(viewed.mask, counts, group)
    return Viewed(x, mask, gather_sides(viewed.sides, counts, group))


def gather_sides(sides: Mapping[str, Tensor], counts: list[int], group: Group = None) -> dict[str, Tensor]:
    """The sides of every process's rows."""
    return {name: gather(side, counts, group) for name, side in sorted(sides.items())}


def gather(x_n: Tensor, counts: list[int], group: Group = None) -> Tensor:
    """Concatenation over processes in rank order, without gradient; the shorter ones are padded on the way."""
    if x_n.dtype == torch.bool:  # not every backend carries bool
        return gather(x_n.to(torch.uint8), counts, group).bool()
    padded = x_n.new_zeros((max(counts), *x_n.shape[1:]))
    padded[: len(x_n)] = x_n
    out = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(out, padded, group=group)
    return torch.cat([part[:count] for part, count in zip(out, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """Gather whose backward sums what every process's loss says about this process's rows."""

    @staticmethod
    def forward(ctx: Any, x_nE: Tensor, counts: list[int], group: Group) -> Tensor:
        ctx.counts, ctx.group = counts, group
        return gather(x_nE.detach(), counts, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NE: Tensor) -> tuple[Tensor, None, None]:
        grad_NE = grad_NE.contiguous().clone()
        dist.all_reduce(grad_NE, group=ctx.group)
        rank = dist.get_rank(ctx.group)
        start = sum(ctx.counts[:rank])
        return grad_NE[start : start + ctx.counts[rank]], None, None
