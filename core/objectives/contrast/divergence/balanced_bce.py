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
from core.objectives.processes import mean_of_all


class BalancedBCE(Divergence):
    """Half the mean of BCE(sigmoid(Z), q) over q > 0.5 plus half that over q <= 0.5 (WBCE of LoRS and RepBlend).

    q is the target of rows (of columns, where only they carry a loss): an unnormalised one, `OneHot`, `EachEqual` or
    `LearnedSim`. Means weigh entries by u_i + v_j and are over the entries of all processes; an empty class counts 0.
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
        self.u_n, self.v_m = u_n, v_m
        self.count = torch.zeros(2, dtype=self.positive_sum.dtype, device=weights.row_total_n.device)
        self.sum = torch.zeros_like(self.count)
        self.factor = torch.zeros_like(self.count)  # (2,) of each entry's loss, known with the value

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
        n, m = len(self.weights.row_total_n), len(self.weights.col_total_m)
        sums = [x.sum() for x in (self.u_n, self.v_m) if x is not None]
        masses = [x.sum() * k for x, k in ((self.u_n, m), (self.v_m, n)) if x is not None]
        # summed weights are counts in units of the mean weight of an entry
        entries = self.count.new_tensor(float(n * m))
        figures = torch.stack([torch.stack(sums).sum(), torch.stack(masses).sum(), entries, *self.count])
        mass, every, entries, *count = mean_of_all(figures) if self.everywhere else figures
        unit = every / entries.clamp_min(1)
        of_class = torch.stack(count)
        self.factor = torch.where(of_class > 0, 0.5 * mass / (of_class + self.eps * unit), 0.0)
        return (self.sum * self.factor).sum()

    def gradient_(self, z_hw: Tensor, spare_hw: Tensor, tile: Tile) -> None:
        block = self.weights.block(tile)
        q_hw, high_hw, weight_hw = self._parts(block, z_hw, tile)
        of_high, of_low = self.factor.to(z_hw.dtype)
        p_hw = z_hw.sigmoid()
        if self.eps == 0:
            d_hw = p_hw - q_hw
        else:
            d_hw = p_hw * (1 - p_hw) * ((1 - q_hw) / (1 - p_hw + self.eps) - q_hw / (p_hw + self.eps))
        torch.mul(d_hw, weight_hw * torch.where(high_hw, of_high, of_low), out=z_hw)
