"""Which rows a training step sees, as a function of (seed, step): nothing has to be remembered to resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from core.errors import DataError


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Batches for steps `start` .. `total` - 1. Each epoch is a fresh permutation; its rest is dropped.

    An item is (epoch, row). A data set smaller than the batch gives batches of all its rows. With several processes,
    each takes every `world`-th row of the global batch (batch_size x world rows).
    Raises DataError when there are fewer rows than processes.
    """

    def __init__(
        self, size: int, *, batch_size: int, total: int, seed: int, start: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if size < max(world, 1):
            raise DataError(f"training needs a record for each of {world} processes; the split has {size}")
        self.size = size
        self.global_batch = min(batch_size * world, size - size % world)
        self.total, self.seed, self.start, self.rank, self.world = total, seed, start, rank, world
        self.steps_per_epoch = size // self.global_batch

    def __len__(self) -> int:
        return self.total - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.total):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
            first = (step % self.steps_per_epoch) * self.global_batch
            rows = order[first : first + self.global_batch][self.rank :: self.world]
            yield [(epoch, int(row)) for row in rows]


class PowerSampler(Sampler[list[tuple[int, int]]]):
    """Batches for steps `start` .. `total` - 1, drawn with replacement: first a group, in proportion to its number of
    rows to the power `power`, then a row of it. 0 draws groups equally often, 1 rows.

    An item is (step, row). A step is a function of (seed, step, rank) alone. Raises DataError when there is no row.
    """

    def __init__(
        self,
        groups: Sequence[str],
        *,
        power: float,
        batch_size: int,
        total: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
    ) -> None:
        if not groups:
            raise DataError("training needs a record; the split has none that can be read")
        names, group_N, count_G = np.unique(np.array(groups), return_inverse=True, return_counts=True)
        self.probability_N = (count_G ** (power - 1.0))[group_N] / (count_G**power).sum()
        self.cumulative_N = np.cumsum(self.probability_N)
        self.batch_size, self.total, self.seed, self.start, self.rank = batch_size, total, seed, start, rank
        self.groups = tuple(str(name) for name in names)

    def __len__(self) -> int:
        return self.total - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        last = len(self.cumulative_N) - 1
        for step in range(self.start, self.total):
            points = np.random.default_rng([self.seed, step, self.rank]).random(self.batch_size)
            rows = np.minimum(np.searchsorted(self.cumulative_N, points, side="right"), last)
            yield [(step, int(row)) for row in rows]
