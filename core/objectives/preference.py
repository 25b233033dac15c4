"""Which of two candidates is closer to a reference, learned from judgements.

Shape legend: n = rows that hold the reference and both candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError, nearest
from core.objectives.base import Step, Term
from core.objectives.contrast.similarity import unit
from core.objectives.reduction import process_mean
from core.objectives.views import View, as_view


class Preference(Term):
    """Mean over rows of max(0, margin - y d), d = cos(r, c0) - cos(r, c1), y = +1 where the judges prefer c0, -1 where
    they prefer c1 (two-alternative forced choice as in UniSim, Ghazanfari et al. 2024, there with labels of the other
    sign and a sum over the batch).

    label: entry of `Batch.labels`, 0 for the first candidate, 1 for the second, nan for no judgement; a share in
    between is the share of judges who took the second and weighs both. Values: "loss"; "accuracy", ties lost.
    """

    def __init__(
        self,
        *,
        reference: str | View,
        first: str | View,
        second: str | View,
        label: str = "preference",
        margin: float = 0.05,
        name: str = "preference",
    ) -> None:
        super().__init__()
        if margin < 0:
            raise ConfigError(f"Preference: margin is {margin}; give a value >= 0, for instance 0.05")
        self.reference, self.first, self.second = as_view(reference), as_view(first), as_view(second)
        self.label, self.margin, self.name = label, margin, name

    def forward(self, step: Step) -> dict[str, Tensor]:
        if self.label not in step.batch.labels:
            raise ConfigError(
                f"term '{self.name}': the batch has no label '{self.label}'{nearest(self.label, step.batch.labels)}"
            )
        views = (self.reference, self.first, self.second)
        y_B = step.batch.labels[self.label]
        held_B = y_B.isfinite()
        for view in views:
            held_B = held_B & step.batch.present[view.modality] if step.has(view.modality) else torch.zeros_like(held_B)
        if not bool(held_B.any()):
            zero = step.zero()
            return {"loss": zero + process_mean(zero.detach().new_zeros(0))}
        r, c0, c1 = (unit(view(step).x[held_B[step.batch.present[view.modality]]]) for view in views)
        d_n, second_n = (r * (c0 - c1)).sum(1), y_B[held_B]
        loss_n = (1 - second_n) * (self.margin - d_n).clamp_min(0) + second_n * (self.margin + d_n).clamp_min(0)
        right_n = torch.where(second_n > 0.5, d_n < 0, d_n > 0)
        return {"loss": process_mean(loss_n), "accuracy": right_n.float().mean()}
