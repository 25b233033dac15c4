"""Positions of the tokens of a grid in one, two or three dimensions: learned or fixed, for any size of the grid.

Shape legend: N = tokens (row-major over the grid), D = width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError

BASE = 10_000.0  # longest wavelength over 2 pi, in tokens (Vaswani et al. 2017)
INTERPOLATION = {1: "linear", 2: "bicubic", 3: "trilinear"}


def sincos(coordinates_N: Tensor, width: int) -> Tensor:
    """(N, width): [sin(p w_k), cos(p w_k)], w_k = 10000^(-k / (width/2)). `width` even, coordinates in tokens."""
    frequency_K = BASE ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angle_NK = coordinates_N.to(torch.float64)[:, None] * frequency_K
    return torch.cat([angle_NK.sin(), angle_NK.cos()], dim=-1).float()


class Positions(nn.Module, ABC):
    """Position vectors of a grid. `forward(grid)` gives (N, D) for that grid, resampled when it is not the own one."""

    def __init__(self, *, grid: Sequence[int], width: int) -> None:
        super().__init__()
        if len(grid) not in INTERPOLATION or min(grid) < 1:
            raise ConfigError(f"{type(self).__name__}: grid is {list(grid)}; give one to three positive sizes")
        self.grid, self.width = tuple(grid), width

    @abstractmethod
    def forward(self, grid: Sequence[int]) -> Tensor: ...


class LearnedPositions(Positions):
    """One trained vector per grid position, Normal(0, 0.02) at the start; other sizes by interpolation."""

    def __init__(self, *, grid: Sequence[int], width: int) -> None:
        super().__init__(grid=grid, width=width)
        self.table = nn.Parameter(nn.init.trunc_normal_(torch.empty(math.prod(self.grid), width), std=0.02))

    def forward(self, grid: Sequence[int]) -> Tensor:
        if tuple(grid) == self.grid:
            return self.table
        table_1D = self.table.float().unflatten(0, self.grid).movedim(-1, 0)[None]
        resized = F.interpolate(table_1D, size=tuple(grid), mode=INTERPOLATION[len(self.grid)], align_corners=False)
        return resized[0].flatten(1).T


class SinCosPositions(Positions):
    """Fixed sines and cosines, the width divided equally over the axes (2D as in He et al. 2022).

    At another size the coordinates are stretched so that the same place of the image keeps its position.
    """

    table: Tensor

    def __init__(self, *, grid: Sequence[int], width: int) -> None:
        super().__init__(grid=grid, width=width)
        self.register_buffer("table", self._table(self.grid), persistent=False)

    def _table(self, grid: Sequence[int]) -> Tensor:
        axes = len(self.grid)
        share = self.width // axes // 2 * 2  # even; what is left over stays zero
        if share < 2:
            raise ConfigError(f"SinCosPositions: width {self.width} is too small for {axes} axes; give {2 * axes}")
        parts = []
        for axis, (size, own) in enumerate(zip(grid, self.grid)):
            coordinate_S = (torch.arange(size, dtype=torch.float64) + 0.5) * (own / size) - 0.5
            shape = [size if a == axis else 1 for a in range(axes)]
            parts.append(sincos(coordinate_S, share).reshape(*shape, share).expand(*grid, share))
        table_ND = torch.cat(parts, dim=-1).flatten(0, -2)
        return F.pad(table_ND, (0, self.width - table_ND.shape[-1]))

    def forward(self, grid: Sequence[int]) -> Tensor:
        return self.table if tuple(grid) == self.grid else self._table(grid).to(self.table)
