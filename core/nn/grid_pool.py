"""A coarser grid of tokens by averaging.

Shape legend: V = rows, N = tokens of the fine grid, K = tokens of the coarse grid, D = width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError


class GridPool(nn.Module):
    """(V, N, D) tokens of a 2D or 3D grid -> (V, K, D) means of its equal cells; padding (V, N) counts in no mean.

    No parameters. TCL (Yang et al. 2022) makes 4 x 4 of 16 x 16. Raises ConfigError for grids that do not divide.
    """

    def __init__(self, *, grid: Sequence[int], to: Sequence[int]) -> None:
        """grid, to: cells per axis before and after, both of 2 or 3 axes."""
        super().__init__()
        self.grid, self.to_grid = tuple(grid), tuple(to)
        axes_fit = len(self.grid) == len(self.to_grid) in (2, 3) and min(*self.grid, *self.to_grid) >= 1
        if not axes_fit or any(fine % coarse for fine, coarse in zip(self.grid, self.to_grid, strict=True)):
            raise ConfigError(
                f"GridPool: {list(grid)} cannot be averaged to {list(to)}; give 2 or 3 axes each, of which the coarse "
                "ones divide the fine ones"
            )

    def forward(self, x_VND: Tensor, mask_VN: Tensor | None = None) -> Tensor:
        if x_VND.shape[1] != math.prod(self.grid):
            raise ConfigError(
                f"GridPool: grid is {list(self.grid)}, but there are {x_VND.shape[1]} tokens; give the encoder's grid"
            )
        if mask_VN is None:
            return self._mean(x_VND)
        real_VN1 = mask_VN[:, :, None].to(x_VND.dtype)
        share_VK1 = self._mean(real_VN1)
        return self._mean(x_VND * real_VN1) / share_VK1.clamp_min(1e-6)

    def _mean(self, x_VND: Tensor) -> Tensor:
        pool = F.adaptive_avg_pool2d if len(self.grid) == 2 else F.adaptive_avg_pool3d
        cells = pool(x_VND.transpose(1, 2).unflatten(2, self.grid), self.to_grid)  # type: ignore[arg-type]
        return cells.flatten(2).transpose(1, 2)
