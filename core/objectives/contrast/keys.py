"""Where the columns of a pairwise loss come from: this process's rows, or those of every process.

Shape legend: n = pairs in this process, N = pairs in all processes, E = width of the shared space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from core.objectives.contrast.targets import Ids, Target, Weights
from core.objectives.views import Viewed


@dataclass(slots=True)
class Problem:
    """One logit matrix: its rows, its columns, their ids, and the share of the loss that each direction carries.

    share is None for a direction without terms here. pairs: N over all processes, columns that a row competes
    with when nothing is excluded.
    """

    rows: Viewed
    cols: Viewed
    row_ids: Ids
    col_ids: Ids
    row_share: float | None
    col_share: float | None
    pairs: int

    def weights(self, target: Target, dtype: torch.dtype) -> Weights:
        """Which entries belong together, from the ids and from what else travels with the rows."""
        row_ids, col_ids = (
            ids._replace(sides=side.sides, x=side.x.detach())
            for ids, side in ((self.row_ids, self.rows), (self.col_ids, self.cols))
        )
        return target.weights(row_ids, col_ids, dtype)

    def by_direction(self) -> list[Problem]:
        """The same terms with the two directions apart, each as the rows of a matrix of its own."""
        parts = [] if self.row_share is None else [replace(self, col_share=None)]
        if self.col_share is not None:
            parts.append(Problem(self.cols, self.rows, self.col_ids, self.row_ids, self.col_share, None, self.pairs))
        return parts


class Keys(nn.Module, ABC):
    """Lays out the matrices that make up a loss in two directions between the pairs (a_i, b_i)."""

    @property
    def key(self) -> Hashable:
        """Equal for keys that lay out alike and keep no state, so that terms of one step share what was gathered."""
        return id(self)

    @property
    @abstractmethod
    def collective(self) -> bool:
        """Whether every process must call `problems`, even one without a pair."""

    @abstractmethod
    def problems(self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float]) -> list[Problem]:
        """The first problem has rows a. shares: weights of a -> b and of b -> a."""


class BatchKeys(Keys):
    """The pairs of this process only: one square matrix serves both directions."""

    @property
    def key(self) -> Hashable:
        return BatchKeys

    @property
    def collective(self) -> bool:
        return False

    def problems(self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float]) -> list[Problem]:
        n = len(a.x)
        ids = Ids(torch.arange(n, device=a.x.device), content_n)
        to_b, to_a = (None if share == 0 else share for share in shares)
        return [Problem(a, b, ids, ids, to_b, to_a, pairs=n)]


class GatheredKeys(Keys):
    """The pairs of every process, gathered with gradient; each process keeps its own rows, so that the work per process
    is n x N in each direction. In a single process this is `BatchKeys`.

    The shares are scaled by n * processes / N, so that the average over processes that data-parallel training takes
    of losses and gradients is the loss over all N pairs, however unevenly present rows are spread.
    """

    @property
    def key(self) -> Hashable:
        return GatheredKeys

    @property
    def collective(self) -> bool:
        return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1

    def problems(self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float]) -> list[Problem]:
        if not self.collective:
            return BatchKeys().problems(a, b, content_n, shares)
        rank, world, device = dist.get_rank(), dist.get_world_size(), a.x.device
        n, counts = len(a.x), _counts(len(a.x), a.x.device)
        a, b = gather_ready(a), gather_ready(b)
        all_a, all_b = gather_viewed(a, counts), gather_viewed(b, counts)
        all_content_N = _gather(content_n, counts)
        total, share_here = sum(counts), n * world / max(sum(counts), 1)
        if "weight" in a.sides:  # terms of weighted samples: what counts is the weight that is here
            share_here = float(a.sides["weight"].sum() * world / all_a.sides["weight"].sum().clamp_min(1e-30))
        offset = sum(counts[:rank])
        own = Ids(torch.arange(offset, offset + n, device=device), content_n)
        every = Ids(torch.arange(total, device=device), all_content_N)
        to_b, to_a = (share * share_here for share in shares)
        return [
            Problem(a, all_b, own, every, to_b, None, pairs=total),
            Problem(b, all_a, own, every, to_a, None, pairs=total),
        ]


def gather_ready(viewed: Viewed) -> Viewed:
    """The same view with the trailing shape that the other processes have: one without a pair may not know the width,
    and the longest sequence of tokens decides how many all are padded to. Collective."""
    x = viewed.x
    sides = {name: gather_ready(Viewed(side)).x for name, side in sorted(viewed.sides.items())}
    own = torch.tensor([x.ndim, *x.shape[1:], *[0] * (3 - x.ndim)], device=x.device)
    dist.all_reduce(own, op=dist.ReduceOp.MAX)
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


def gather_viewed(viewed: Viewed, counts: list[int]) -> Viewed:
    """Rows of every process in rank order, with gradient. Collective; give it what `gather_ready` returned."""
    x = _Gather.apply(viewed.x, counts)
    sides = {name: _gather(side, counts) for name, side in sorted(viewed.sides.items())}
    return Viewed(x, None if viewed.mask is None else _gather(viewed.mask, counts), sides)


def _counts(n: int, device: torch.device) -> list[int]:
    """Rows in every process."""
    own = torch.tensor([n], device=device)
    out = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(out, own)
    return [int(t) for t in out]


def _gather(x_n: Tensor, counts: list[int]) -> Tensor:
    """Concatenation over processes in rank order; the shorter ones are padded on the way."""
    if x_n.dtype == torch.bool:  # not every backend carries bool
        return _gather(x_n.to(torch.uint8), counts).bool()
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
