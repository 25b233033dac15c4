"""Targets made of others.

Shape legend: n = rows, m = columns (keys).
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.contrast.normaliser import accumulator_dtype
from core.objectives.contrast.targets.base import Ids, Sides, Target, inside, nested
from core.objectives.contrast.targets.weights import Part, SummedWeights, Weights


class Mix(Target):
    """a * soft + (1 - a) * hard (ALBEF and TCL: 0.4 of the momentum model's softmax). a rises linearly from 0 over the
    first `ramp_steps` steps (there: one epoch).

    Cross entropy is linear in the target, so this is also a weighted sum of two losses on one matrix at the price of
    one: (1 - l) CLIP + l distillation (MobileCLIP: l = 0.75) is `Mix(amount=0.75, soft=TeacherSoftmax, hard=OneHot)`.
    Positives and exclusions are those of `hard`.
    """

    def __init__(self, *, soft: Target, hard: Target, amount: float = 0.4, ramp_steps: int = 0) -> None:
        super().__init__()
        if not 0 <= amount <= 1:
            raise ConfigError(f"Mix: amount is {amount}; give the share of `soft`, a value in [0, 1]")
        if ramp_steps < 0:
            raise ConfigError(f"Mix: ramp_steps is {ramp_steps}; give a number of steps >= 0")
        if soft.key is not None and hard.key is not None and soft.key != hard.key:
            raise ConfigError(f"Mix: soft reads the key '{soft.key}' and hard '{hard.key}'; a term has one content id")
        self.soft, self.hard, self.amount, self.ramp_steps = soft, hard, amount, ramp_steps
        self.key = hard.key if soft.key is None else soft.key

    def share(self, index: int) -> float:
        """a at a global step."""
        return self.amount if index >= self.ramp_steps else self.amount * index / self.ramp_steps

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        device = batch_rows_n.device
        share_n = torch.full(
            (len(batch_rows_n),), self.share(step.index), dtype=accumulator_dtype(device), device=device
        )
        soft, hard = self.soft.sides(step, batch_rows_n), self.hard.sides(step, batch_rows_n)
        of_a, of_b = (
            {"share": share_n, **nested("soft", s), **nested("hard", h)} for s, h in zip(soft, hard, strict=True)
        )
        return of_a, of_b

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        soft, hard = (
            target.weights(inside(name, rows), inside(name, cols), dtype)
            for name, target in (("soft", self.soft), ("hard", self.hard))
        )
        a_n, a_m = _factor(rows, cols, dtype)
        return SummedWeights([Part(soft, a_n, a_m), Part(hard, 1 - a_n, 1 - a_m)])

    def observe(self, step: Step, batch_rows_n: Tensor, surprise_n: Tensor) -> None:
        for target in (self.soft, self.hard):
            target.observe(step, batch_rows_n, surprise_n)

    def on_epoch(self, epoch: int) -> None:
        for target in (self.soft, self.hard):
            target.on_epoch(epoch)


def _factor(rows: Ids, cols: Ids, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """a per row and per column; columns without sides (of a queue) take that of the rows, it is one number."""
    a_n = rows.side("share").to(dtype)
    if "share" in cols.sides:
        return a_n, cols.side("share").to(dtype)
    return a_n, a_n[:1].expand(len(cols.item)) if len(a_n) else a_n.new_zeros(len(cols.item))
