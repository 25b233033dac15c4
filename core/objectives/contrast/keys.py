"""Where the columns of a pairwise loss come from: this process's rows, or those of every process.

Shape legend: n = pairs in this process, N = pairs in all processes, E = width of the shared space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from core.objectives.contrast.targets import Ids


@dataclass(slots=True)
class Problem:
    """One logit matrix: its rows, its columns, their ids, and the share of the loss that each direction carries.

    share is None for a direction without terms here. pairs: N over all processes, columns that a row competes
    with when nothing is excluded.
    """

    rows: Tensor
    cols: Tensor
    row_ids: Ids
    col_ids: Ids
    row_share: float | None
    col_share: float | None
    pairs: int


class Keys(nn.Module, ABC):
    """Lays out the matrices that make up a loss in two directions between the pairs (a_i, b_i)."""

    @property
    @abstractmethod
    def collective(self) -> bool:
        """Whether every process must call `problems`, even one without a pair."""

    @abstractmethod
    def problems(self, a_nE: Tensor, b_nE: Tensor, content_n: Tensor, shares: tuple[float, float]) -> list[Problem]:
        """The first problem has rows a. shares: weights of a -> b and of b -> a."""


class BatchKeys(Keys):
    """The pairs of this process only: one square matrix serves both directions."""

    @property
    def collective(self) -> bool:
        return False

    def problems(self, a_nE: Tensor, b_nE: Tensor, content_n: Tensor, shares: tuple[float, float]) -> list[Problem]:
        ids = Ids(torch.arange(len(a_nE), device=a_nE.device), content_n)
        to_b, to_a = (None if share == 0 else share for share in shares)
        return [Problem(a_nE, b_nE, ids, ids, to_b, to_a, pairs=len(a_nE))]


class GatheredKeys(Keys):
    """The pairs of every process, gathered with gradient; each process keeps its own rows, so that the work per process
    is n x N in each direction. In a single process this is `BatchKeys`.

    The shares are scaled by n * processes / N, so that the average over processes that data-parallel training takes
    of losses and gradients is the loss over all N pairs, however unevenly present rows are spread.
    """

    @property
    def collective(self) -> bool:
        return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1

    def problems(self, a_nE: Tensor, b_nE: Tensor, content_n: Tensor, shares: tuple[float, float]) -> list[Problem]:
        if not self.collective:
            return BatchKeys().problems(a_nE, b_nE, content_n, shares)
        rank, world, device = dist.get_rank(), dist.get_world_size(), a_nE.device
        sizes = _sizes(a_nE)
        width = max(e for _, e in sizes)
        counts = [n for n, _ in sizes]
        # a process without a pair may not know the width: it takes part all the same
        a_nE, b_nE = (x if x.shape[1] == width else x.new_zeros(0, width) + x.sum() for x in (a_nE, b_nE))
        all_a_NE, all_b_NE = (_Gather.apply(x, counts) for x in (a_nE, b_nE))
        all_content_N = _gather(content_n, counts)
        total = sum(counts)
        offset = sum(counts[:rank])
        own = Ids(torch.arange(offset, offset + len(a_nE), device=device), content_n)
        every = Ids(torch.arange(total, device=device), all_content_N)
        to_b, to_a = (share * len(a_nE) * world / max(total, 1) for share in shares)
        return [
            Problem(a_nE, all_b_NE, own, every, to_b, None, pairs=total),
            Problem(b_nE, all_a_NE, own, every, to_a, None, pairs=total),
        ]


def _sizes(x_nE: Tensor) -> list[tuple[int, int]]:
    """(rows, width) in every process."""
    own = torch.tensor(x_nE.shape, device=x_nE.device)
    out = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(out, own)
    return [(int(n), int(e)) for n, e in (t.tolist() for t in out)]


def _gather(x_n: Tensor, counts: list[int]) -> Tensor:
    """Concatenation over processes in rank order; the shorter ones are padded on the way."""
    padded = x_n.new_zeros((max(counts), *x_n.shape[1:]))
    padded[: len(x_n)] = x_n
    out = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(out, padded)
    return torch.cat([part[:count] for part, count in zip(out, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """Gather whose backward sums what every process's loss says about this process's rows."""

    @staticmethod
    def forward(ctx: Any, x_nE: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        return _gather(x_nE.detach(), counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NE: Tensor) -> tuple[Tensor, None]:
        grad_NE = grad_NE.contiguous().clone()
        dist.all_reduce(grad_NE)
        rank = dist.get_rank()
        start = sum(ctx.counts[:rank])
        return grad_NE[start : start + ctx.counts[rank]], None
