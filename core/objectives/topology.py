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
from core.objectives.processes import rows_of_all, world_size
from core.objectives.row_kl import row_kl
from core.objectives.views import View, Viewed, as_view


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
        if not new or new[0].pairs < 2:  # in all processes alike
            return {"loss": step.zero()}
        with torch.no_grad():
            old = self._laid_out(step.teacher(self.teacher), a_rows, b_rows)
        cross = (self._kl(new, old, 0, 1) + self._kl(new, old, 1, 0)) / 2
        within = (self._kl(new, old, 0, 0) + self._kl(new, old, 1, 1)) / 2
        loss = self.cross_weight * cross + self.within_weight * within
        return {"loss": loss + step.zero(), "cross": cross.detach(), "within": within.detach()}

    def _laid_out(self, step: Step, a_rows: Tensor, b_rows: Tensor) -> list[Problem]:
        """[a -> b, b -> a]: rows of this process, columns of every process that takes part."""
        a, b = (
            self.similarity.rows(view(step).rows(rows_n)) if step.has(view.modality) else _none(step)
            for view, rows_n in ((self.first_view, a_rows), (self.second_view, b_rows))
        )
        item_n = torch.arange(len(a.x), device=a.x.device)
        problems = self.columns.problems(a, b, item_n, (1.0, 1.0))
        return [part for problem in problems for part in problem.by_direction()]

    def _kl(self, new: list[Problem], old: list[Problem], row: int, col: int) -> Tensor:
        """Rows of modality `row` against columns of modality `col`. The columns of a are those of b -> a."""
        rows_nE = new[row].rows.x
        n = len(rows_nE)
        if new[row].everywhere:  # averaged over processes, the loss is the mean over the rows of all
            weight = world_size() / max(sum(rows_of_all(n, rows_nE.device)), 1)
        else:
            weight = 1 / max(n, 1)
        return row_kl(
            rows_nE,
            new[1 - col].cols.x,
            old[row].rows.x,
            old[1 - col].cols.x,
            scale=1 / self.temperature,
            own_n=new[row].row_ids.item if row == col else None,
            weight_n=rows_nE.new_full((n,), weight),
            tile=self.tile,
        )


def _none(step: Step) -> Viewed:
    zero = step.zero()
    return Viewed(zero + zero.new_zeros(0, 0))
