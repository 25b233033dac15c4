"""KL(P || Q) of the predicted distribution from the target: mode seeking, where cross entropy covers modes.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits, Q and Q' target weights of the two
directions, P and P' softmax over columns and over rows, u (n,) and v (m,) weights of the row and column terms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.normaliser import accumulator_dtype
from core.objectives.contrast.targets import Weights
from core.objectives.contrast.tiles import Tile


class ReverseKL(Divergence):
    """L = sum_i u_i KL_i + sum_j v_j KL'_j with KL_i = sum_j P_ij [log P_ij - log(Q_ij + eps)] (SDM of IRRA, Jiang and
    Ye 2023; CMPM, Zhang and Lu 2018). dL/dZ_ij = u_i P_ij [log P_ij - log(Q_ij + eps) - KL_i] + the like of columns.

    A direction costs at most -ln(eps) (18.42). The papers add the two directions up: `directions: [1, 1]`. Takes
    targets that are distributions (`OneHot`, `Equality`).
    """

    def __init__(self, *, eps: float = 1e-8) -> None:
        """eps: what the target is lifted by; has to be above 0, most entries of a target are 0."""
        super().__init__()
        if eps <= 0:
            raise ConfigError(f"ReverseKL: eps is {eps}; give a value above 0, for instance 1e-8")
        self.eps = eps

    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> RunningReverseKL:
        return RunningReverseKL(weights, u_n, v_m, self.eps)


class RunningReverseKL(Running):
    def __init__(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, eps: float) -> None:
        super().__init__(weights)
        self.eps = eps
        self.rows = None if u_n is None else _Expectation(u_n, weights.row_total_n, 1)
        self.cols = None if v_m is None else _Expectation(v_m, weights.col_total_m, 0)

    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        self.watch(z_hw, tile, block)
        q_hw, q_cols_hw = block.dense()
        if self.rows is not None:
            self.rows.observe(z_hw, (q_hw + self.eps).log_(), spare_hw, tile.rows)
        if self.cols is not None:
            self.cols.observe(z_hw, (q_cols_hw + self.eps).log_(), spare_hw, tile.cols)

    def value(self) -> Tensor:
        loss = self.positive_sum.new_zeros(())
        for side in (self.rows, self.cols):
            if side is not None:
                loss = loss + (side.factor * side.kl()).sum()
        return loss

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        q_hw, q_cols_hw = block.dense()
        grad_hw = torch.zeros_like(z_hw)
        if self.rows is not None:
            grad_hw += self.rows.gradient(z_hw, (q_hw + self.eps).log_(), spare_hw, tile.rows)
        if self.cols is not None:
            grad_hw += self.cols.gradient(z_hw, (q_cols_hw + self.eps).log_(), spare_hw, tile.cols)
        z_hw.copy_(grad_hw)


class _Expectation:
    """Running maximum M, sum of e^(Z - M) and sum of e^(Z - M) (Z - M - log Q) along `dim` of a matrix."""

    def __init__(self, factor: Tensor, like: Tensor, dim: int) -> None:
        acc = accumulator_dtype(like.device)
        self.factor, self.dim = factor, dim
        self.max = torch.full_like(like, torch.finfo(like.dtype).min)
        self.sum = torch.zeros_like(like, dtype=acc)
        self.dot = torch.zeros_like(like, dtype=acc)

    def observe(self, z_hw: Tensor, log_q_hw: Tensor, spare_hw: Tensor, part: slice) -> None:
        dim, old, total, dot = self.dim, self.max[part], self.sum[part], self.dot[part]
        new = torch.maximum(old, z_hw.amax(dim))
        shift = (old - new).to(total.dtype)
        dot.add_(shift * total).mul_(shift.exp())  # views: these update what is stored
        total.mul_(shift.exp())
        torch.sub(z_hw, new.unsqueeze(dim), out=spare_hw)
        e_hw = spare_hw.exp()
        total.add_(e_hw.sum(dim))
        dot.add_(spare_hw.sub_(log_q_hw).mul_(e_hw).sum(dim))
        old.copy_(new)

    def kl(self) -> Tensor:
        return self.dot / self.sum - self.sum.log()

    def gradient(self, z_hw: Tensor, log_q_hw: Tensor, spare_hw: Tensor, part: slice) -> Tensor:
        dim, dtype = self.dim, z_hw.dtype
        torch.sub(z_hw, self.max[part].unsqueeze(dim), out=spare_hw)
        p_hw = spare_hw.exp().mul_((self.factor[part] / self.sum[part]).to(dtype).unsqueeze(dim))
        mean = (self.dot[part] / self.sum[part]).to(dtype)  # KL + ln(sum)
        return spare_hw.sub_(log_q_hw).sub_(mean.unsqueeze(dim)).mul_(p_hw)
