"""KL between two softmax distributions over the same columns, row by row, without a matrix that outlives its tile.

Shape legend: n = rows, m = columns, D = width of the compared model's vectors, F = width of the reference's,
h, w = rows and columns of one tile. Z logits of the compared model, Y logits of the reference, P, Q their softmax.
Pass 1 streams tiles past running maxima and sums; pass 2 makes each tile again, turns it into dL/dZ = u (P - Q) and
accumulates the gradients. Both run in `forward`, so that `backward` only scales.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from core.objectives.contrast.kernel import TILE
from core.objectives.contrast.normaliser import accumulator_dtype
from core.objectives.contrast.tiles import Tile, tiles


class _Sides:
    """What both passes read. own_n: column of each row that is left out, or None."""

    def __init__(
        self,
        rows_nD: Tensor,
        cols_mD: Tensor,
        ref_rows_nF: Tensor,
        ref_cols_mF: Tensor,
        scale: float,
        own_n: Tensor | None,
    ) -> None:
        self.rows_nD, self.cols_mD = rows_nD, cols_mD
        self.ref_rows_nF, self.ref_cols_mF = ref_rows_nF, ref_cols_mF
        self.scale, self.own_n = scale, own_n

    def logits(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """(Z, Y) of a tile. A column that is left out has the lowest finite logit in both: probability exactly 0."""
        z_hw = (self.rows_nD[tile.rows] @ self.cols_mD[tile.cols].T).mul_(self.scale)
        y_hw = (self.ref_rows_nF[tile.rows] @ self.ref_cols_mF[tile.cols].T).mul_(self.scale)
        if self.own_n is not None:
            own_h = self.own_n[tile.rows]
            (r,) = ((own_h >= tile.cols.start) & (own_h < tile.cols.stop)).nonzero(as_tuple=True)
            z_hw[r, own_h[r] - tile.cols.start] = torch.finfo(z_hw.dtype).min
            y_hw[r, own_h[r] - tile.cols.start] = torch.finfo(y_hw.dtype).min
        return z_hw, y_hw


class _RowSums:
    """Running maximum and sum of exp per row; `dot` is the sum of exp(Y) (Y - Z) beside it."""

    def __init__(self, n: int, like: Tensor) -> None:
        acc = accumulator_dtype(like.device)
        self.max_n = like.new_full((n,), torch.finfo(like.dtype).min)
        self.sum_n, self.dot_n = (torch.zeros(n, dtype=acc, device=like.device) for _ in range(2))

    def add(self, logit_hw: Tensor, rows: slice, gap_hw: Tensor | None = None) -> None:
        new_h = torch.maximum(self.max_n[rows], logit_hw.amax(1))
        shrink_h = (self.max_n[rows] - new_h).exp()
        exp_hw = (logit_hw - new_h[:, None]).exp_()
        self.sum_n[rows] = self.sum_n[rows] * shrink_h + exp_hw.sum(1, dtype=self.sum_n.dtype)
        if gap_hw is not None:
            self.dot_n[rows] = self.dot_n[rows] * shrink_h + (exp_hw * gap_hw).sum(1, dtype=self.dot_n.dtype)
        self.max_n[rows] = new_h

    def lse(self) -> Tensor:
        return self.max_n.to(self.sum_n.dtype) + self.sum_n.log()

    def softmax(self, logit_hw: Tensor, rows: slice) -> Tensor:
        return (logit_hw - self.max_n[rows, None]).exp_().div_(self.sum_n[rows, None].to(logit_hw.dtype))


class _RowKL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        rows_nD: Tensor,
        cols_mD: Tensor,
        ref_rows_nF: Tensor,
        ref_cols_mF: Tensor,
        scale: float,
        own_n: Tensor | None,
        weight_n: Tensor,
        size: tuple[int, int],
        wants_grad: bool,
    ) -> Tensor:
        n, m = len(rows_nD), len(cols_mD)
        sides = _Sides(rows_nD, cols_mD, ref_rows_nF, ref_cols_mF, scale, own_n)
        with torch.autocast(rows_nD.device.type, enabled=False):
            p, q = _RowSums(n, rows_nD), _RowSums(n, rows_nD)
            for tile in tiles(n, m, size):
                z_hw, y_hw = sides.logits(tile)
                p.add(z_hw, tile.rows)
                q.add(y_hw, tile.rows, gap_hw=y_hw - z_hw)
            kl_n = q.dot_n / q.sum_n - q.lse() + p.lse()
            d_rows_nD, d_cols_mD = torch.zeros_like(rows_nD), torch.zeros_like(cols_mD)
            for tile in tiles(n, m, size) if wants_grad else ():
                z_hw, y_hw = sides.logits(tile)
                g_hw = p.softmax(z_hw, tile.rows).sub_(q.softmax(y_hw, tile.rows))
                g_hw.mul_((weight_n[tile.rows] * scale)[:, None])
                d_rows_nD[tile.rows].addmm_(g_hw, cols_mD[tile.cols])
                d_cols_mD[tile.cols].addmm_(g_hw.T, rows_nD[tile.rows])
        ctx.grads = d_rows_nD, d_cols_mD  # type: ignore[attr-defined]
        return (weight_n.to(kl_n.dtype) * kl_n).sum().to(rows_nD.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Any, ...]:
        needed = ctx.needs_input_grad[:2]
        return *(g * grad_loss if need else None for g, need in zip(ctx.grads, needed, strict=True)), *(None,) * 7


def row_kl(
    rows_nD: Tensor,
    cols_mD: Tensor,
    reference_rows_nF: Tensor,
    reference_cols_mF: Tensor,
    *,
    scale: float,
    own_n: Tensor | None = None,
    weight_n: Tensor | None = None,
    tile: tuple[int, int] = TILE,
) -> Tensor:
    """sum_i weight_i KL(softmax_j Y_ij || softmax_j Z_ij), Z = scale rows @ cols.T, Y the same of the reference; 0-d.

    Exact; memory grows with the tile, not with n x m. The reference gets no gradient. Half precision is computed in
    float32, float64 stays float64. Equal sides give exactly 0 with a gradient of exactly 0.
    own_n: int64, a column of each row that is left out of both distributions (the row itself). weight_n: 1/n when None.
    Differentiable once.
    """
    rows_nD, cols_mD = (x if x.dtype == torch.float64 else x.float() for x in (rows_nD, cols_mD))
    ref_n, ref_m = (x.detach().to(rows_nD) for x in (reference_rows_nF, reference_cols_mF))
    n = len(rows_nD)
    weight_n = rows_nD.new_full((n,), 1 / max(n, 1)) if weight_n is None else weight_n.to(rows_nD)
    wants_grad = torch.is_grad_enabled() and (rows_nD.requires_grad or cols_mD.requires_grad)
    return _RowKL.apply(rows_nD, cols_mD, ref_n, ref_m, scale, own_n, weight_n, tile, wants_grad)
