"""Batches of windows for the steps of a run, as a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from core.errors import DataError
from domains.remote_sensing.windows.plan import Drawn, WindowPlan


class WindowSampler(Sampler[list[Drawn]]):
    """Batches for steps `start` .. `total` - 1. Step t takes the next windows of stream t mod S.

    A loader of W processes gives batch i to process i mod W: where W divides the number of streams, a process always
    gets the same streams, and its cache serves them. Another W gives the same batches, more slowly.
    With several training processes (`world`), each takes its own streams: the plan has streams x world of them.
    """

    def __init__(
        self, plan: WindowPlan, *, batch_size: int, total: int, start: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.plan, self.batch_size, self.total, self.start = plan, batch_size, total, start
        if plan.streams % world:
            raise DataError(f"windows: {plan.streams} streams cannot be shared by {world} processes")
        self.streams = plan.streams // world
        self.first = rank * self.streams
        self.batches = plan.per_stream // batch_size  # of a stream in an epoch
        if self.batches < 1:
            raise DataError(
                f"windows: an epoch has {plan.per_stream} windows for each of {plan.streams} streams, a batch "
                f"{batch_size}; draw more windows (per_epoch), or lower batch_size"
            )
        self.steps_per_epoch = self.batches * self.streams

    def __len__(self) -> int:
        return self.total - self.start

    def __iter__(self) -> Iterator[list[Drawn]]:
        epoch, windows = -1, np.empty((0, 0, 4), np.int64)
        for step in range(self.start, self.total):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                windows = self.plan.epoch(epoch)
            turn, stream = divmod(step % self.steps_per_epoch, self.streams)
            rows = windows[self.first + stream, turn * self.batch_size : (turn + 1) * self.batch_size]
            yield [Drawn(epoch, *map(int, row)) for row in rows]
