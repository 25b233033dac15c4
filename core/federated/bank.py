"""A bank of features too large to compare with all at once: the log probability of each row's own entry.

Shape legend: n = rows, M = entries of the bank, D = width. 50,000 rows against 50,000 entries in one float32 matrix
would be 9.3 GiB; here memory grows with the tile.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from core.objectives.contrast.kernel import TILE
from core.objectives.contrast.normaliser import accumulator_dtype


class _OwnLogProb(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, rows_nD: Tensor, bank_MD: Tensor, own_n: Tensor, scale: float, tile: tuple[int, int]
    ) -> Tensor:
        out_n, mean_nD = [], []
        with torch.autocast(rows_nD.device.type, enabled=False):
            for i in range(0, len(rows_nD), tile[0]):
                lse_h, expected_hD = _row_block(rows_nD[i : i + tile[0]], bank_MD, scale, tile[1])
                own_hD = bank_MD[own_n[i : i + tile[0]]]
                out_n.append(scale * (rows_nD[i : i + tile[0]] * own_hD).sum(1) - lse_h)
                mean_nD.append(own_hD - expected_hD)
        ctx.save_for_backward(torch.cat(mean_nD) * scale if mean_nD else torch.zeros_like(rows_nD))
        return torch.cat(out_n) if out_n else rows_nD.new_zeros(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_n: Tensor) -> tuple[Any, ...]:
        (slope_nD,) = ctx.saved_tensors
        return slope_nD * grad_n[:, None], None, None, None, None


def _row_block(rows_hD: Tensor, bank_MD: Tensor, scale: float, width: int) -> tuple[Tensor, Tensor]:
    """Over the bank, one block after the other: log-sum-exp (h,), entries weighted by their probability (h, D)."""
    acc = accumulator_dtype(rows_hD.device)
    max_h = rows_hD.new_full((len(rows_hD),), torch.finfo(rows_hD.dtype).min)
    sum_h = torch.zeros(len(rows_hD), dtype=acc, device=rows_hD.device)
    total_hD = torch.zeros_like(rows_hD)
    for j in range(0, len(bank_MD), width):
        z_hw = (rows_hD @ bank_MD[j : j + width].T).mul_(scale)
        new_h = torch.maximum(max_h, z_hw.amax(1))
        shrink_h = (max_h - new_h).exp()
        z_hw.sub_(new_h[:, None]).exp_()
        sum_h = sum_h * shrink_h + z_hw.sum(1, dtype=acc)
        total_hD.mul_(shrink_h[:, None]).addmm_(z_hw, bank_MD[j : j + width])
        max_h = new_h
    return (max_h.to(acc) + sum_h.log()).to(rows_hD.dtype), total_hD / sum_h[:, None].to(total_hD.dtype)


def own_log_prob(
    rows_nD: Tensor, bank_MD: Tensor, own_n: Tensor, *, scale: float = 1.0, tile: tuple[int, int] = TILE
) -> Tensor:
    """(n,) log softmax_j(scale rows_i . bank_j) at j = own_i, exact, float32 or finer; the bank gets no gradient.

    own_n: int64. Differentiable once, with respect to the rows.
    """
    rows_nD = rows_nD if rows_nD.dtype == torch.float64 else rows_nD.float()
    return _OwnLogProb.apply(rows_nD, bank_MD.detach().to(rows_nD), own_n.to(rows_nD.device), scale, tile)
