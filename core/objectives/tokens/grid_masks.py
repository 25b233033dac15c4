"""Which tokens of a grid are hidden: single ones at random, or blocks of neighbours.

Shape legend: V = rows, N = tokens of the grid (row-major), A = axes of the grid.
Every draw comes from the CPU generator that is passed in.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.tokens.masking import MaskPlan, hide_last, random_mask


class GridMask(nn.Module, ABC):
    """Draws a `MaskPlan`: equally many visible tokens for every row that has no padding."""

    @abstractmethod
    def draw(
        self, rows: int, grid: Sequence[int], *, generator: torch.Generator, real_VN: Tensor | None = None
    ) -> MaskPlan:
        """The plan, on the CPU. real_VN: bool, False = padding, which is neither visible nor hidden."""


class RandomMask(GridMask):
    """Every token is hidden with the same chance (He et al. 2022). ratio: share of tokens, in [0, 1)."""

    def __init__(self, *, ratio: float = 0.75) -> None:
        super().__init__()
        self.ratio = checked_ratio("RandomMask", ratio)

    def draw(
        self, rows: int, grid: Sequence[int], *, generator: torch.Generator, real_VN: Tensor | None = None
    ) -> MaskPlan:
        return random_mask(rows, math.prod(grid), ratio=self.ratio, generator=generator, real_VN=real_VN)


class BlockMask(GridMask):
    """Boxes of neighbouring tokens (Bao et al. 2022, BEiT; iBOT), on grids of any number of axes.

    Boxes are drawn until the share is reached; one that would pass it is left out, and single tokens fill what is left,
    so that the share is exact.
    """

    def __init__(
        self, *, ratio: float = 0.3, spread: float = 0.0, smallest: int = 4, aspect: float = 0.3, draws: int = 24
    ) -> None:
        """ratio: share of tokens; spread: each step draws its ratio from ratio - spread .. ratio + spread (iBOT: 0.2).
        smallest: tokens of the smallest box. aspect: sides are longer or shorter than a cube's by a factor of up to
        sqrt(1 / aspect). draws: boxes that are tried."""
        super().__init__()
        checked_ratio("BlockMask", ratio - spread)
        checked_ratio("BlockMask", ratio + spread)
        if smallest < 1 or not 0 < aspect <= 1 or draws < 1:
            raise ConfigError(
                f"BlockMask: smallest {smallest}, aspect {aspect}, draws {draws}; give a positive count, a ratio in "
                "(0, 1] and a positive count"
            )
        self.ratio, self.spread, self.smallest, self.aspect, self.draws = ratio, spread, smallest, aspect, draws

    def draw(
        self, rows: int, grid: Sequence[int], *, generator: torch.Generator, real_VN: Tensor | None = None
    ) -> MaskPlan:
        shift = float(torch.rand((), generator=generator)) * 2 - 1
        ratio, tokens = self.ratio + shift * self.spread, math.prod(grid)
        real_VN = torch.ones(rows, tokens, dtype=torch.bool) if real_VN is None else real_VN.cpu()
        budget_V = real_VN.sum(1) - (real_VN.sum(1) * (1 - ratio) + 1e-9).long().clamp_min(1)
        in_box_VN = torch.zeros(rows, tokens, dtype=torch.bool)
        for _ in range(self.draws):
            left_V = budget_V - in_box_VN.sum(1)
            box_VN = self._boxes(left_V, grid, generator) & real_VN & ~in_box_VN
            fits_V = box_VN.sum(1) <= left_V
            in_box_VN |= box_VN & fits_V[:, None]
        order_VN = torch.rand(rows, tokens, generator=generator) * 0.5 + in_box_VN.float()
        return hide_last(order_VN, ratio=ratio, real_VN=None if real_VN.all() else real_VN)

    def _boxes(self, left_V: Tensor, grid: Sequence[int], generator: torch.Generator) -> Tensor:
        """(V, N) bool: one box per row, of `smallest` to `left` tokens as far as the grid allows."""
        rows, axes = len(left_V), len(grid)
        size_V = self.smallest + torch.rand(rows, generator=generator) * (left_V - self.smallest).clamp_min(0)
        # the sides' factors multiply to 1, so that the aspect leaves the size alone
        log_VA = (torch.rand(rows, axes, generator=generator) - 0.5) * -math.log(self.aspect)
        log_VA = log_VA - log_VA.mean(1, keepdim=True)
        extent_A = torch.tensor(grid)
        side_VA = (size_V[:, None] ** (1 / axes) * log_VA.exp()).round().long().clamp_min(1).minimum(extent_A)
        first_VA = (torch.rand(rows, axes, generator=generator) * (extent_A - side_VA + 1)).long()
        inside_VN = torch.ones(rows, *grid, dtype=torch.bool)
        for axis, count in enumerate(grid):
            place = torch.arange(count)
            start, stop = first_VA[:, axis, None], (first_VA + side_VA)[:, axis, None]
            shape = [rows, *(count if a == axis else 1 for a in range(axes))]
            inside_VN &= ((place >= start) & (place < stop)).reshape(shape)
        return inside_VN.flatten(1)


def checked_ratio(who: str, ratio: float) -> float:
    """`ratio` in [0, 1). Raises ConfigError otherwise."""
    if not 0 <= ratio < 1:
        raise ConfigError(f"{who}: ratio is {ratio}; give a value in [0, 1), for instance 0.3")
    return ratio
