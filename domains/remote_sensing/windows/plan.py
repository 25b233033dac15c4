"""Which windows of which rasters an epoch sees, and in which order.

A compressed raster is decoded in whole blocks (512 x 512 pixels in most files), and a window of 256 pixels at a random
place touches 2.25 of them: reading windows in random order decodes nine times the pixels that it shows. The plan keeps
the places random and gives up randomness of the order only:

  1. places: uniform over all windows of all rasters, each independent of the others;
  2. strips: windows that begin in one row of blocks of one raster; strips come in random order, and within a strip the
     windows of one block follow those of its neighbour, so that each block is decoded about twice;
  3. readers: that order is cut into equal parts, one for each of `streams` x `mix` places at which is read at once. A
     batch takes equally many windows from each of the `mix` parts of one stream, and batches take turns over the
     streams, so that a loader process may keep a stream, with its blocks, to itself.

So windows of one batch are neighbours only within the share of one part (a batch of 32 with mix 8: 4 windows), while
batches that follow one another come from the same strips. `mixing` measures both. Everything is a function of (seed,
epoch): nothing has to be remembered to resume.

Shape legend: N = windows of an epoch, S = streams, M = mix, n = windows of one part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, DataError


class Drawn(NamedTuple):
    """One window: `side` rows and columns from (top, left) of a raster; number: its place in the plan of the epoch."""

    epoch: int
    raster: int
    top: int
    left: int
    number: int


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The windows of each epoch.

    shapes: rows and columns of each raster. side: of a window, pixels. block: side of the blocks that files are decoded
    in. count: windows of an epoch. streams, mix: see above.
    Raises DataError for a raster that is smaller than a window, ConfigError for a count below streams x mix.
    """

    shapes: tuple[tuple[int, int], ...]
    side: int
    count: int
    block: int = 512
    streams: int = 2
    mix: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("side", "block", "streams", "mix"):
            if getattr(self, name) < 1:
                raise ConfigError(f"windows: {name} is {getattr(self, name)}; give at least 1")
        if not self.shapes:
            raise DataError("windows: there is no raster to draw them from")
        for i, shape in enumerate(self.shapes):
            if min(shape) < self.side:
                raise DataError(f"windows: raster {i} has {shape[0]} x {shape[1]} pixels, a window {self.side}")
        if self.count < self.streams * self.mix:
            raise ConfigError(
                f"windows: {self.count} of an epoch are too few for {self.streams} streams of {self.mix} places"
            )

    @property
    def per_stream(self) -> int:
        """Windows of one stream in one epoch; what does not divide evenly is dropped."""
        return self.count // (self.streams * self.mix) * self.mix

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """(S, per_stream, 4): raster, top, left and number of the windows of each stream, in order."""
        rng = np.random.default_rng([self.seed, epoch])
        windows_N3 = self._places(rng)
        order_N = self._local(windows_N3, rng)
        numbered_N4 = np.concatenate([windows_N3[order_N], order_N[:, None]], axis=1)
        part = self.per_stream // self.mix
        parts = numbered_N4[: self.streams * self.mix * part].reshape(self.streams, self.mix, part, 4)
        return np.ascontiguousarray(parts.transpose(0, 2, 1, 3)).reshape(self.streams, self.per_stream, 4)

    def _places(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """(N, 3) raster, top, left: uniform over all places where a window fits."""
        room_R2 = np.asarray(self.shapes, np.int64) - self.side + 1
        weight_R = room_R2.prod(axis=1).astype(np.float64)
        raster_N = rng.choice(len(room_R2), self.count, p=weight_R / weight_R.sum())
        corner_N2 = (rng.random((self.count, 2)) * room_R2[raster_N]).astype(np.int64)
        return np.concatenate([raster_N[:, None], np.minimum(corner_N2, room_R2[raster_N] - 1)], axis=1)

    def _local(self, windows_N3: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """(N,) order: strips shuffled, in them from left to right or from right to left by block."""
        raster_N, top_N, left_N = windows_N3.T
        most = max(rows for rows, _ in self.shapes) // self.block + 1
        _, strip_N = np.unique(raster_N * most + top_N // self.block, return_inverse=True)
        strips = int(strip_N.max()) + 1
        turn = rng.permutation(strips)[strip_N]
        way = rng.choice([-1, 1], strips)[strip_N]
        return np.lexsort((rng.random(self.count), way * (left_N // self.block), turn))


@dataclass(frozen=True, slots=True)
class Mixing:
    """How alike the windows of a batch are: means over batches.

    rasters, strips: different ones in a batch. shared: area that two windows of a batch have in common, as a share of
    a window, mean over pairs. again: share of the strips of a batch that were in the stream's batch before.
    """

    rasters: float
    strips: float
    shared: float
    again: float


def mixing(batches: Sequence[Sequence[Drawn]], *, side: int, block: int, streams: int) -> Mixing:
    """Measure batches of a plan, in the order of steps."""
    rasters, strips, shared, again = [], [], [], []
    for step, batch in enumerate(batches):
        where_B3 = np.array([(w.raster, w.top, w.left) for w in batch])
        own = {(int(r), int(t) // block) for r, t, _ in where_B3}
        rasters.append(len({r for r, _ in own}))
        strips.append(len(own))
        apart_BB2 = np.abs(where_B3[:, None, 1:] - where_B3[None, :, 1:])
        common_BB = np.clip(1 - apart_BB2 / side, 0, None).prod(axis=2)
        common_BB[where_B3[:, None, 0] != where_B3[None, :, 0]] = 0
        pairs = len(batch) * (len(batch) - 1)
        shared.append((common_BB.sum() - len(batch)) / pairs if pairs else 0.0)
        if step >= streams:
            before = {(w.raster, w.top // block) for w in batches[step - streams]}
            again.append(len(own & before) / len(own))
    return Mixing(*(float(np.mean(values)) if values else 0.0 for values in (rasters, strips, shared, again)))
