"""Keys of several processes: every process holds its rows and a copy of all keys.

Shape legend: n = pairs in this process, N = pairs in all processes, G = processes.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.keys.base import BatchKeys, Keys, Occasion, Problem
from core.objectives.contrast.targets import Ids
from core.objectives.processes import (
    Group,
    gather,
    gather_ready,
    gather_released,
    gather_viewed,
    rows_of_all,
    same_need_of_gradient,
    world_size,
)
from core.objectives.views import Viewed


class GatheredKeys(Keys):
    """The pairs of every process, gathered with gradient; each process keeps its own rows, so that the work per process
    is n x N in each direction. In a single process this is `BatchKeys`.
    """

    @property
    def key(self) -> Hashable:
        return GatheredKeys

    @property
    def collective(self) -> bool:
        return world_size() > 1

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        if not self.collective:
            return BatchKeys().problems(a, b, content_n, shares)
        group = self._group()
        counts = rows_of_all(len(a.x), a.x.device, group)
        # no early way out on what is known here alone: every process has to make the same exchanges
        a, b = (same_need_of_gradient(gather_ready(side, group), group) for side in (a, b))
        all_a, all_b = gather_viewed(a, counts, group), gather_viewed(b, counts, group)
        own, every = ids_of(content_n, counts, dist.get_rank(group), group)
        pairs = len(every.item)
        problems = [Problem(a, all_b, own, every, shares[0], None, pairs, everywhere=True)]
        if shares[1] > 0:  # all processes alike
            problems.append(Problem(b, all_a, own, every, shares[1], None, pairs, everywhere=True))
        return problems

    def _group(self) -> Group:
        return None


class GroupedKeys(GatheredKeys):
    """`GatheredKeys` inside groups of `size` consecutive processes (M2-Encoder, Guo et al. 2024): negatives are those
    of the group, traffic stays in it, and the loss is the mean over all pairs. One group is `GatheredKeys`, groups of
    one process are `BatchKeys`. The floor of the loss is ln(pairs of a group): compare "gain".
    """

    def __init__(self, *, size: int) -> None:
        """size: processes per group; has to divide their number."""
        super().__init__()
        if size < 1:
            raise ConfigError(f"GroupedKeys: size is {size}; give the number of processes per group, at least 1")
        self.size = size
        self._made: dict[int, Group] = {}

    @property
    def key(self) -> Hashable:
        return GroupedKeys, self.size

    def _group(self) -> Group:
        world = world_size()
        if world % self.size != 0:
            raise ConfigError(
                f"GroupedKeys: groups of {self.size} cannot be made of {world} processes; give a size that divides it"
            )
        if world not in self._made:  # every process has to create every group, in the same order
            groups = [dist.new_group(list(range(first, first + self.size))) for first in range(0, world, self.size)]
            own = groups[dist.get_rank() // self.size]
            assert isinstance(own, dist.ProcessGroup)  # a number stands for a group that one is no member of
            self._made[world] = own
        return self._made[world]


class ReleasedGather(Keys):
    """Every process computes the whole N x N loss, with gradient through its own rows only: the form that open_clip
    releases as its default. The value and the scale's gradient are those of the whole batch, the encoders' gradient is
    1/G of it after data-parallel averaging. For comparison with published runs, not for training: `GatheredKeys` is
    exact and G times cheaper. In a single process this is `BatchKeys`.
    """

    @property
    def collective(self) -> bool:
        return world_size() > 1

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        if not self.collective:
            return BatchKeys().problems(a, b, content_n, shares)
        counts = rows_of_all(len(a.x), a.x.device)
        all_a, all_b = (gather_released(gather_ready(side), counts) for side in (a, b))
        _, every = ids_of(content_n, counts, dist.get_rank())
        return BatchKeys().problems(all_a, all_b, every.content, shares)


def ids_of(content_n: Tensor, counts: list[int], rank: int, group: Group = None) -> tuple[Ids, Ids]:
    """Ids of this process's rows and of all rows in rank order: an item is its position among all rows."""
    device, start = content_n.device, sum(counts[:rank])
    own = torch.arange(start, start + counts[rank], device=device)
    return Ids(own, content_n), Ids(torch.arange(sum(counts), device=device), gather(content_n, counts, group))
