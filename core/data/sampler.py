"""Which rows a training step sees, as a function of (seed, step): nothing has to be remembered to resume."""

from __future__ import annotations

from collections.abc import Iterator

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
