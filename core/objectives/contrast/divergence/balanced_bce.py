"""Binary cross entropy in which the few positives weigh as much as the many negatives.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile. Z logits, q labels, u (n,) and v (m,) weights
of the row and column terms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.divergence.sigmoid import pair_weight, softplus
from core.objectives.contrast.targets import Block, Weights
from core.objectives.contrast.tiles import Tile


class BalancedBCE(Divergence):
    """Half the mean of BCE(sigmoid(Z), q) over q > 0.5 plus half that over q <= 0.5 (WBCE of LoRS and RepBlend).

    q is the target of rows (of columns, where only they carry a loss): an unnormalised one, `OneHot`, `EachEqual` or
    `LearnedSim`. Means are over this process's block and weigh entries by u_i + v_j; a class without an entry counts 0.
    """

    every_row = True

    def __init__(self, *, eps: float = 0.0) -> None:
        """eps: 0 is exact; 1e-6 is the released form, log(p + eps), log(1 - p + eps) and division by (count + eps),
        which moves values by 2e-3 at scale 14."""
        super().__init__()
        if eps < 0:
            raise ConfigError(f"BalancedBCE: eps is {eps}; give 0 (exact), or 1e-6 for the released form")
        self.eps = eps

    def begin(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, bound: float) -> RunningBalancedBCE:
        return RunningBalancedBCE(weights, u_n, v_m, self.eps)


class RunningBalancedBCE(Running):
    def __init__(self, weights: Weights, u_n: Tensor | None, v_m: Tensor | None, eps: float) -> None:
        super().__init__(weights)
        self.eps = eps
        n, m = len(weights.row_total_n), len(weights.col_total_m)
        acc = self.positive_sum.dtype
        mass = sum(float(x.sum()) for x in (u_n, v_m) if x is not None)
        every = sum(float(x.sum()) * k for x, k in ((u_n, m), (v_m, n)) if x is not None)
        # entries weigh 1 on average, so that sums of weights are counts
        self.mass, unit = mass, n * m / every if every > 0 else 0.0
        self.u_n, self.v_m = (None if x is None else x * unit for x in (u_n, v_m))
        self.count = torch.zeros(2, dtype=acc, device=weights.row_total_n.device)
        self.sum = torch.zeros_like(self.count)

    def observe(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        block.exclude_(z_hw)
        self.watch(z_hw, tile, block)
        q_hw, high_hw, weight_hw = self._parts(block, z_hw, tile)
        loss_hw = weight_hw * self._bce(z_hw, q_hw)
        for k, of_class in enumerate((high_hw, ~high_hw)):
            self.count[k] += (weight_hw * of_class).sum()
            self.sum[k] += (loss_hw * of_class).sum()

    def _parts(self, block: Block, z_hw: Tensor, tile: Tile) -> tuple[Tensor, Tensor, Tensor]:
        """(labels, which of them are high, weights of the entries)."""
        q_hw = block.dense()[0 if self.u_n is not None else 1]
        weight_hw = pair_weight(z_hw, self.u_n, self.v_m, tile).expand_as(z_hw)
        if block.excluded is not None:
            weight_hw = weight_hw.clone()
            weight_hw[block.excluded] = 0
            z_hw[block.excluded] = 0  # their loss is finite and does not count
        return q_hw, q_hw > 0.5, weight_hw

    def _bce(self, z_hw: Tensor, q_hw: Tensor) -> Tensor:
        if self.eps == 0:
            return softplus(z_hw) - q_hw * z_hw
        p_hw = z_hw.sigmoid()
        return -(q_hw * (p_hw + self.eps).log() + (1 - q_hw) * (1 - p_hw + self.eps).log())

    def value(self) -> Tensor:
        return 0.5 * self.mass * (self.sum * self._inverse()).sum()

    def _inverse(self) -> Tensor:
        """(2,) 1 / entries of the two classes; 0 for an empty one."""
        return torch.where(self.count > 0, 1 / (self.count + self.eps), 0.0)

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        q_hw, high_hw, weight_hw = self._parts(block, z_hw, tile)
        of_high, of_low = (0.5 * self.mass * self._inverse()).to(z_hw.dtype)
        p_hw = z_hw.sigmoid()
        if self.eps == 0:
            d_hw = p_hw - q_hw
        else:
            d_hw = p_hw * (1 - p_hw) * ((1 - q_hw) / (1 - p_hw + self.eps) - q_hw / (p_hw + self.eps))
        torch.mul(d_hw, weight_hw * torch.where(high_hw, of_high, of_low), out=z_hw)
