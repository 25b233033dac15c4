"""Pulling a view towards another, without negatives.

Shape legend: n = rows that hold both modalities, E = width of the views.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.contrast.similarity import unit
from core.objectives.reduction import process_mean
from core.objectives.views import View, as_view


class CosineRegression(Term):
    """Mean over rows of 2 - 2 cos(online, sg(target)) (BYOL, Grill et al. 2020). Every row counts for itself: no
    negatives, no matrix, and gradient accumulation over micro-batches is exact.

    Nothing but the asymmetry keeps it from collapse: `online` passes a predictor (`Head(of_embedding=True)`) and
    `target` is a momentum teacher's (`FromTeacher`). SLAP (Guinot et al. 2025) is four of these terms of weight 1/4:
    q_a to z_t and q_t to z_a across modalities, q_a to z_a and q_t to z_t within.

    Values: "loss" in [0, 4]; "cosine"; "spread", the mean deviation of the online unit vectors' coordinates times
    sqrt(E): about 1 when they fill the sphere, 0 once they have collapsed.
    """

    def __init__(self, *, online: str | View, target: str | View, name: str | None = None) -> None:
        """online: takes the gradient. target: what it regresses to, of the same or of another modality."""
        super().__init__()
        self.online, self.target = as_view(online), as_view(target)
        self.name = f"{self.online.modality}-to-{self.target.modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        online_rows, target_rows, batch_rows = step.paired_rows(self.online.modality, self.target.modality)
        if len(batch_rows) == 0:
            zero = step.zero()
            return {"loss": zero + process_mean(zero.detach().new_zeros(0))}
        q_nE = unit(self.online(step).x[online_rows])
        with torch.no_grad():
            z_nE = unit(self.target(step).x[target_rows])
        if q_nE.shape != z_nE.shape:
            raise ConfigError(
                f"term '{self.name}': the online view has shape {tuple(q_nE.shape)}, the target {tuple(z_nE.shape)}; "
                "vectors of one width are needed"
            )
        cosine_n = (q_nE * z_nE).sum(1)
        spread = q_nE.detach().std(0, unbiased=False).mean() * q_nE.shape[1] ** 0.5
        return {"loss": process_mean(2 - 2 * cosine_n), "cosine": cosine_n.detach().mean(), "spread": spread}
