"""Two-alternative forced choice: which of two candidates is closer? (UniSim-style, Ghazanfari et al. 2024)

Shape legend: B = rows of the batch, n = rows that hold the reference, both candidates and a known answer, E = width.
A label says which candidate people chose: 0 = the first, 1 = the second, nan = unknown (the row counts for nothing).
The published code sums over the batch; both terms here are means, so that their size does not depend on it.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError, nearest
from core.objectives.base import Step, Term
from core.objectives.contrast.divergence import RowCE
from core.objectives.contrast.kernel import TILE, term_weights, tiled_loss
from core.objectives.contrast.matrix import DotMatrix
from core.objectives.contrast.similarity import unit
from core.objectives.contrast.targets import Ids, OneHot
from core.objectives.views import View, as_view


class _TwoAlternatives(Term):
    """Values: "loss"; "accuracy", share of rows whose chosen candidate is the closer one, a tie counts half."""

    def __init__(
        self, *, reference: str | View, first: str | View, second: str | View, label: str, name: str | None = None
    ) -> None:
        """reference, first, second: what is compared; a modality's name stands for its embedding. label: name of the
        label with the answers."""
        super().__init__()
        self.views = torch.nn.ModuleList([as_view(reference), as_view(first), as_view(second)])
        self.label = label
        self.name = f"choice-{label}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        if self.label not in step.batch.labels:
            raise ConfigError(
                f"term '{self.name}': the batch has no label '{self.label}'{nearest(self.label, step.batch.labels)}"
            )
        views = [v for v in self.views if isinstance(v, View)]
        if not all(step.has(v.modality) for v in views):
            return {"loss": step.zero()}
        answer_B = step.batch.labels[self.label]
        both_B = torch.isfinite(answer_B)
        for view in views:
            both_B = both_B & step.batch.present[view.modality]
        if not bool(both_B.any()):
            return {"loss": step.zero()}
        answer_n = answer_B[both_B]
        if not bool(((answer_n == 0) | (answer_n == 1)).all()):
            raise ConfigError(f"term '{self.name}': label '{self.label}' must be 0 (first), 1 (second) or nan")
        reference_nE, first_nE, second_nE = (
            unit(view(step).rows(both_B[step.batch.present[view.modality]].nonzero()[:, 0]).x) for view in views
        )
        second_n = answer_n.to(reference_nE.device) == 1
        margin_n = choice_margin(reference_nE, first_nE, second_nE, second_n)
        right = ((margin_n.detach().sign() + 1) / 2).mean()
        return {"loss": self.loss(reference_nE, first_nE, second_nE, second_n, margin_n), "accuracy": right}

    @abstractmethod
    def loss(
        self, reference_nE: Tensor, first_nE: Tensor, second_nE: Tensor, second_n: Tensor, margin_n: Tensor
    ) -> Tensor:
        """0-d mean over rows; embeddings are unit rows, second (n,) bool is the answer."""


class ChoiceHinge(_TwoAlternatives):
    """mean max(0, margin - (cos to the chosen - cos to the other)): equal candidates cost `margin`."""

    def __init__(
        self,
        *,
        reference: str | View,
        first: str | View,
        second: str | View,
        label: str,
        margin: float = 0.05,
        name: str | None = None,
    ) -> None:
        """margin: how much closer the chosen candidate has to be, in cosine."""
        super().__init__(reference=reference, first=first, second=second, label=label, name=name)
        if not 0 <= margin <= 2:
            raise ConfigError(f"ChoiceHinge: margin is {margin}; give a difference of cosines in [0, 2]")
        self.margin = float(margin)

    def loss(
        self, reference_nE: Tensor, first_nE: Tensor, second_nE: Tensor, second_n: Tensor, margin_n: Tensor
    ) -> Tensor:
        return F.relu(self.margin - margin_n).mean()


class ChoiceCE(_TwoAlternatives):
    """Mean cross entropy of each reference against all 2n candidates of the batch, the chosen one being right; cosines
    times `scale` (1 as published). On the tiled kernel: no n x 2n matrix is kept."""

    def __init__(
        self,
        *,
        reference: str | View,
        first: str | View,
        second: str | View,
        label: str,
        scale: float = 1.0,
        tile: tuple[int, int] = TILE,
        name: str | None = None,
    ) -> None:
        super().__init__(reference=reference, first=first, second=second, label=label, name=name)
        if scale <= 0 or min(tile) < 1:
            raise ConfigError(f"ChoiceCE: scale is {scale} and tile {tile}; all must be above 0")
        self.scale, self.tile = float(scale), (int(tile[0]), int(tile[1]))

    def loss(
        self, reference_nE: Tensor, first_nE: Tensor, second_nE: Tensor, second_n: Tensor, margin_n: Tensor
    ) -> Tensor:
        row_n = torch.arange(len(reference_nE), device=reference_nE.device)
        answer_n, candidate_m = row_n + len(row_n) * second_n, torch.arange(2 * len(row_n), device=row_n.device)
        weights = OneHot().weights(Ids(answer_n, answer_n), Ids(candidate_m, candidate_m), reference_nE.dtype)
        loss, _ = tiled_loss(
            DotMatrix(reference_nE, torch.cat([first_nE, second_nE])),
            scale=reference_nE.new_tensor(self.scale),
            weights=weights,
            divergence=RowCE(),
            row_weight_n=term_weights(weights.row_total_n, 1.0),
            col_weight_m=None,
            tile=self.tile,
        )
        return loss


def choice_margin(reference_nE: Tensor, first_nE: Tensor, second_nE: Tensor, second_n: Tensor) -> Tensor:
    """cos to the chosen candidate minus cos to the other, (n,), of unit rows; positive = as people chose."""
    difference_n = (reference_nE * (second_nE - first_nE)).sum(dim=1)
    return torch.where(second_n, difference_n, -difference_n)
