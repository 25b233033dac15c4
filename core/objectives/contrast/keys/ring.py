"""Keys that circulate between neighbouring processes: exact, and no process ever holds more than one block of them.

Shape legend: n = pairs in this process, N = pairs in all processes, G = processes, E = width, h, w = a tile's sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.keys.base import BatchKeys, Keys, Occasion, Problem
from core.objectives.contrast.keys.gathered import ids_of
from core.objectives.contrast.matrix import Gradients, Matrix
from core.objectives.contrast.similarity import Similarity
from core.objectives.contrast.targets import Target, Weights
from core.objectives.contrast.tiles import Tile, tiles
from core.objectives.processes import (
    gather_ready,
    gather_sides,
    rows_of_all,
    same_need_of_gradient,
    world_size,
)
from core.objectives.views import Viewed


class RingKeys(Keys):
    """The loss of `GatheredKeys` with one block of keys at a time: O(n E) memory, not O(N E).

    The blocks go round once for the row statistics (log-sum-exp and the like), and once more, each with the gradient it
    has collected, for the gradients; divergences without statistics (sigmoid) take the same two trips. So SigLIP's
    exchange of text features (Zhai et al. 2023) and Inf-CLIP's ring (Cheng et al. 2024) are this class under two
    divergences. Encoder, scale and bias gradients after data-parallel averaging are those of the whole batch: the scale
    is not summed over processes a second time. The losses of all processes must enter the total with the same weight.
    Works with similarities that are made of two tensors, rows and keys. In a single process this is `BatchKeys`.
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
        a, b = (same_need_of_gradient(gather_ready(side)) for side in (a, b))
        own, every = ids_of(content_n, counts, dist.get_rank())
        total = sum(counts)
        sides = [(a, b, shares[0]), (b, a, shares[1])]
        # a direction of weight 0 is left out by all processes alike
        return [
            RingProblem(rows, cols, own, every, share, None, total, True, counts)
            for rows, cols, share in sides
            if share > 0
        ]


@dataclass(slots=True)
class RingProblem(Problem):
    """cols holds this process's block only; the column ids are those of all blocks. counts: pairs per process."""

    counts: list[int] = field(default_factory=list)

    def matrix(self, similarity: Similarity) -> Matrix:
        return RingMatrix(similarity, self.rows, self.cols, self.counts)

    def weights(self, target: Target, dtype: torch.dtype) -> Weights:
        """What targets ask of the columns is gathered whole, without the vectors that are compared."""
        rows = self.row_ids._replace(sides=self.rows.sides, x=self.rows.x.detach())
        cols = self.col_ids._replace(sides=gather_sides(self.cols.sides, self.counts))
        return target.weights(rows, cols, dtype)


class RingMatrix(Matrix):
    """(n, N) similarities of this process's rows and the keys of all processes in rank order. Walking through `tiles`
    is collective: it moves the blocks."""

    def __init__(self, similarity: Similarity, rows: Viewed, own: Viewed, counts: list[int]) -> None:
        self.similarity, self.rows, self.own, self.counts = similarity, rows, own, counts
        self.rank, self.world = dist.get_rank(), len(counts)
        self.starts = [sum(counts[:r]) for r in range(self.world)]
        block = similarity.matrix(rows, own)
        if len(block.inputs) != 2:
            raise ConfigError(
                f"RingKeys: {type(similarity).__name__} compares more than rows with keys; use GatheredKeys with it"
            )
        self.inputs = block.inputs
        self.wants_keys = block.inputs[1].requires_grad
        self.block, self.held = block, self.rank
        self.sums: _RingGradients | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.inputs[0]), sum(self.counts)

    def reach(self) -> Tensor:
        """Infinite: a bound over keys that are elsewhere would cost a trip of its own."""
        return self.like.new_full((), torch.inf)

    def tiles(self, size: tuple[int, int]) -> Iterator[Tile]:
        keys = self.own
        for hop in range(self.world):
            self.held = (self.rank - hop) % self.world
            self.block = self.similarity.matrix(self.rows, keys)
            start = self.starts[self.held]
            for tile in tiles(len(self.inputs[0]), self.counts[self.held], size):
                yield Tile(tile.rows, slice(start + tile.cols.start, start + tile.cols.stop))
            if self.sums is not None:
                self.sums.leave(self.held)
            if hop < self.world - 1:
                keys = self._next(keys)
        self.sums = None

    def tile_(self, out_hw: Tensor, tile: Tile, factor: float) -> None:
        self.block.tile_(out_hw, self.within(tile), factor)

    def within(self, tile: Tile) -> Tile:
        """The same tile counted from the block's first column."""
        start = self.starts[self.held]
        return Tile(tile.rows, slice(tile.cols.start - start, tile.cols.stop - start))

    def gradients(self) -> Gradients:
        self.sums = _RingGradients(self)
        return self.sums

    def _next(self, keys: Viewed) -> Viewed:
        """The block of the process before this one, in exchange for the block held."""
        x = pass_on(keys.x.detach(), self.held, self.counts).requires_grad_(self.wants_keys)
        mask = None if keys.mask is None else pass_on(keys.mask.to(torch.uint8), self.held, self.counts).bool()
        return Viewed(x, mask)


class _RingGradients(Gradients):
    """The gradient of each block travels with it and comes home after the last hop."""

    def __init__(self, matrix: RingMatrix) -> None:
        self.matrix = matrix
        rows, keys = matrix.inputs
        self.d_rows = torch.zeros_like(rows) if rows.requires_grad else None
        self.d_keys = torch.zeros_like(keys) if keys.requires_grad else None
        self.d_scale = rows.new_zeros(())
        self.of_block: Gradients | None = None

    def add_(self, g_hw: Tensor, tile: Tile) -> None:
        if self.of_block is None:
            self.of_block = self.matrix.block.gradients()
        self.of_block.add_(g_hw, self.matrix.within(tile))

    def leave(self, held: int) -> None:
        """The block is finished here. Collective."""
        if self.of_block is not None:
            (d_rows, d_keys), d_scale = self.of_block.total()
            self.d_scale += d_scale
            if self.d_rows is not None and d_rows is not None:
                self.d_rows += d_rows
            if self.d_keys is not None and d_keys is not None:
                self.d_keys += d_keys
        self.of_block = None
        if self.d_keys is not None:
            self.d_keys = pass_on(self.d_keys, held, self.matrix.counts)

    def total(self) -> tuple[list[Tensor | None], Tensor]:
        return [self.d_rows, self.d_keys], self.d_scale


def pass_on(x: Tensor, held: int, counts: list[int]) -> Tensor:
    """Give block `held` to the next process and take that of the one before. Collective; empty blocks are not sent."""
    rank, world = dist.get_rank(), len(counts)
    comes = (held - 1) % world
    x, out = x.contiguous(), x.new_empty(counts[comes], *x.shape[1:])
    moves = []
    if counts[held] > 0:
        moves.append(dist.P2POp(dist.isend, x, (rank + 1) % world))
    if counts[comes] > 0:
        moves.append(dist.P2POp(dist.irecv, out, (rank - 1) % world))
    for request in dist.batch_isend_irecv(moves) if moves else []:
        request.wait()
    return out
