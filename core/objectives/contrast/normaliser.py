"""Row and column log-sum-exp of a logit matrix that is only ever seen one tile at a time.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile.
Both classes are exact. `BoundedSums` exponentiates logits as they are, which one exponential serves both directions
with, and is safe while |logit| + ln(size) stays under `safe_bound`; `RunningSums` carries running maxima.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from core.objectives.contrast.tiles import Tile


def accumulator_dtype(device: torch.device) -> torch.dtype:
    """float64, but where the device has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def safe_bound(dtype: torch.dtype) -> float:
    """Largest exponent that can be summed and inverted without leaving the normal numbers of `dtype`."""
    return math.log(torch.finfo(dtype).max) - 8


class Normaliser(ABC):
    """Sees every tile once (`observe`), then turns logits into weighted probabilities (`weigh_`).

    rows, cols: which directions are wanted."""

    def __init__(self, n: int, m: int, like: Tensor, rows: bool, cols: bool) -> None:
        self.acc = accumulator_dtype(like.device)
        self.rows, self.cols = rows, cols

    @abstractmethod
    def observe(self, z_hw: Tensor, tile: Tile) -> None:
        """Add a tile to the sums; overwrites it."""

    @abstractmethod
    def row_lse(self) -> Tensor:
        """(n,) log-sum-exp over columns."""

    @abstractmethod
    def col_lse(self) -> Tensor:
        """(m,) log-sum-exp over rows."""

    @abstractmethod
    def weigh_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile, u_h: Tensor | None, v_w: Tensor | None) -> None:
        """Overwrite logits by u_i P_ij + v_j P'_ij, P and P' the row and column softmax. spare: scratch."""


class BoundedSums(Normaliser):
    def __init__(self, n: int, m: int, like: Tensor, rows: bool, cols: bool) -> None:
        super().__init__(n, m, like, rows, cols)
        self.row_sum_n = torch.zeros(n, dtype=self.acc, device=like.device)
        self.col_sum_m = torch.zeros(m, dtype=self.acc, device=like.device)

    def observe(self, z_hw: Tensor, tile: Tile) -> None:
        z_hw.exp_()
        if self.rows:
            self.row_sum_n[tile.rows] += z_hw.sum(1)
        if self.cols:
            self.col_sum_m[tile.cols] += z_hw.sum(0)

    def row_lse(self) -> Tensor:
        return self.row_sum_n.log()

    def col_lse(self) -> Tensor:
        return self.col_sum_m.log()

    def weigh_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile, u_h: Tensor | None, v_w: Tensor | None) -> None:
        z_hw.exp_()
        row_h1 = None if u_h is None else (u_h / self.row_sum_n[tile.rows]).to(z_hw.dtype)[:, None]
        col_1w = None if v_w is None else (v_w / self.col_sum_m[tile.cols]).to(z_hw.dtype)[None, :]
        if row_h1 is not None and col_1w is not None:
            z_hw.mul_(torch.add(row_h1, col_1w, out=spare_hw))
        else:
            factor = row_h1 if col_1w is None else col_1w
            assert factor is not None  # a loss without a direction is refused before
            z_hw.mul_(factor)


class RunningSums(Normaliser):
    def __init__(self, n: int, m: int, like: Tensor, rows: bool, cols: bool) -> None:
        super().__init__(n, m, like, rows, cols)
        lowest = torch.finfo(like.dtype).min
        self.row_max_n, self.col_max_m = like.new_full((n,), lowest), like.new_full((m,), lowest)
        self.row_sum_n = torch.zeros(n, dtype=self.acc, device=like.device)
        self.col_sum_m = torch.zeros(m, dtype=self.acc, device=like.device)

    def observe(self, z_hw: Tensor, tile: Tile) -> None:
        if self.rows:
            self._add(z_hw, 1, self.row_max_n[tile.rows], self.row_sum_n[tile.rows])
        if self.cols:
            self._add(z_hw, 0, self.col_max_m[tile.cols], self.col_sum_m[tile.cols])

    def _add(self, z_hw: Tensor, dim: int, running_max: Tensor, running_sum: Tensor) -> None:
        new_max = torch.maximum(running_max, z_hw.amax(dim))
        running_sum *= (running_max - new_max).exp()  # views: this updates the stored sums
        running_sum += (z_hw - new_max.unsqueeze(dim)).exp_().sum(dim)
        running_max.copy_(new_max)

    def row_lse(self) -> Tensor:
        return self.row_max_n.to(self.acc) + self.row_sum_n.log()

    def col_lse(self) -> Tensor:
        return self.col_max_m.to(self.acc) + self.col_sum_m.log()

    def weigh_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile, u_h: Tensor | None, v_w: Tensor | None) -> None:
        # subtracting the maximum is exact where it matters; the sum is divided out afterwards
        if v_w is not None:
            torch.sub(z_hw, self.col_max_m[tile.cols], out=spare_hw)
            spare_hw.exp_().mul_((v_w / self.col_sum_m[tile.cols]).to(z_hw.dtype))
        if u_h is not None:
            z_hw.sub_(self.row_max_n[tile.rows, None]).exp_()
            z_hw.mul_((u_h / self.row_sum_n[tile.rows]).to(z_hw.dtype)[:, None])
            if v_w is not None:
                z_hw.add_(spare_hw)
        else:
            z_hw.copy_(spare_hw)
