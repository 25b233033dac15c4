"""Keep the neighbourhoods that an older model knew, between modalities and within each (CTP, Zhu et al. 2023).

Shape legend: n = rows that hold both modalities, m = columns (n, or those of every process), E = embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.contrast.kernel import TILE
from core.objectives.contrast.keys import GatheredKeys, Keys, Problem
from core.objectives.contrast.similarity import Cosine
from core.objectives.row_kl import row_kl
from core.objectives.views import View, as_view


class TopologyPreservation(Term):
    """KL(old || new) of softmax similarities over the batch, mean over rows ("batchmean").

    Cross-modal: rows first -> second and second -> first, their mean. Within: first -> first and second -> second
    without a row's similarity to itself, their mean. The self column is left out before the temperature, so that its
    probability is exactly 0; filling in a constant that the temperature then divides would leave it a share.
    Values: "loss" = cross_weight * cross + within_weight * within, "cross", "within", in nats. new = old gives exactly
    0 with a gradient of exactly 0. Fewer than two pairs give an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        first: str | View,
        second: str | View,
        teacher: str,
        temperature: float = 0.07,
        cross_weight: float = 1.0,
        within_weight: float = 1.0,
        columns: Keys | None = None,
        tile: tuple[int, int] = TILE,
        name: str = "topology",
    ) -> None:
        """first, second: modalities, or views of them. teacher: the old model, a `FrozenTeacher` under `teachers`.
        columns: which rows are compared, those of every process when None. tile: a matter of speed only.
        Raises ConfigError for a temperature that is not positive, or weights that are negative."""
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"TopologyPreservation: temperature is {temperature}; give a value above 0, such as 0.07")
        if min(cross_weight, within_weight) < 0:
            raise ConfigError(
                f"TopologyPreservation: cross_weight {cross_weight}, within_weight {within_weight}; give values >= 0"
            )
        self.first_view, self.second_view, self.teacher = as_view(first), as_view(second), teacher
        self.temperature = temperature
        self.cross_weight, self.within_weight = cross_weight, within_weight
        self.columns = GatheredKeys() if columns is None else columns
        self.similarity = Cosine()
        self.tile = (int(tile[0]), int(tile[1]))
        self.name = name

    def forward(self, step: Step) -> dict[str, Tensor]:
        a_rows, b_rows, batch_rows = step.paired_rows(self.first_view.modality, self.second_view.modality)
        if len(batch_rows) < 2 and not self.columns.collective:
            return {"loss": step.zero()}
        new = self._laid_out(step, a_rows, b_rows)
        if new[0].pairs < 2:
            return {"loss": step.zero()}
        with torch.no_grad():
            old = self._laid_out(step.teacher(self.teacher), a_rows, b_rows)
        cross = (self._kl(new, old, 0, 1) + self._kl(new, old, 1, 0)) / 2
        within = (self._kl(new, old, 0, 0) + self._kl(new, old, 1, 1)) / 2
        loss = self.cross_weight * cross + self.within_weight * within
        return {"loss": loss + step.zero(), "cross": cross.detach(), "within": within.detach()}

    def _laid_out(self, step: Step, a_rows: Tensor, b_rows: Tensor) -> tuple[Problem, Problem]:
        """(a -> b, b -> a): rows of this process, columns of every process that takes part."""
        a_nE, b_nE = (
            self.similarity.rows(view(step).rows(rows_n).x) if step.has(view.modality) else _none(step)
            for view, rows_n in ((self.first_view, a_rows), (self.second_view, b_rows))
        )
        item_n = torch.arange(len(a_nE), device=a_nE.device)
        problems = self.columns.problems(a_nE, b_nE, item_n, (1.0, 1.0))
        if len(problems) == 2:
            return problems[0], problems[1]
        (one,) = problems
        return one, Problem(one.cols, one.rows, one.col_ids, one.row_ids, one.col_share, one.row_share, one.pairs)

    def _kl(self, new: tuple[Problem, Problem], old: tuple[Problem, Problem], row: int, col: int) -> Tensor:
        """Rows of modality `row` against columns of modality `col`. The columns of a are those of b -> a."""
        rows, cols = new[row], new[1 - col]
        n = max(len(rows.rows), 1)
        share = 1.0 if rows.row_share is None else rows.row_share
        return row_kl(
            rows.rows,
            cols.cols,
            old[row].rows,
            old[1 - col].cols,
            scale=1 / self.temperature,
            own_n=rows.row_ids.item if row == col else None,
            weight_n=rows.rows.new_full((len(rows.rows),), share / n),
            tile=self.tile,
        )


def _none(step: Step) -> Tensor:
    zero = step.zero()
    return zero + zero.new_zeros(0, 0)
