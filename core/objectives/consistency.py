"""Two matrices of cosines that should agree, compared without making either.

Shape legend: n = rows that hold both modalities (B over all processes), E = width of the shared space.
Frobenius norms of n x n differences are traces of products of E x E moments: with A = U'U, C = V'V and M = V'U,
sum_jk (u_j.v_k)^2 = <A, C>, sum_jk (u_j.v_k)(u_k.v_j) = <M, M'>, ||UU'||^2 = ||A||^2 and <UU', VV'> = ||M||^2.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from core.objectives.base import Step, Term
from core.objectives.contrast.normaliser import accumulator_dtype
from core.objectives.contrast.similarity import unit
from core.objectives.reduction import process_max, process_sum
from core.objectives.views import View, as_view


class Consistency(Term):
    """Base of both terms: (1/B) times a squared difference of two B x B matrices of cosines, exact in value and
    gradient, in O(E^2) memory and, over several processes, with E^2 numbers of traffic. Independent of any logit scale.

    Computed in float64 where the device has it: the moments are large and nearly cancel.
    """

    def __init__(self, *, rows: str | View, keys: str | View, name: str | None = None) -> None:
        super().__init__()
        self.row_view, self.key_view = as_view(rows), as_view(keys)
        self.name = f"{type(self).name}-{self.row_view.modality}-{self.key_view.modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        a_rows, b_rows, batch_rows = step.paired_rows(self.row_view.modality, self.key_view.modality)
        if process_max(len(batch_rows)) == 0:
            return {"loss": step.zero()}
        u_nE, v_nE = self._unit(step, self.row_view, a_rows), self._unit(step, self.key_view, b_rows)
        acc, dtype = accumulator_dtype(u_nE.device), u_nE.dtype
        u_nE, v_nE = u_nE.to(acc), v_nE.to(acc)
        with torch.autocast(u_nE.device.type, enabled=False):
            a, c, m = (process_sum(x) for x in (u_nE.T @ u_nE, v_nE.T @ v_nE, v_nE.T @ u_nE))
            count = process_sum(torch.tensor(float(len(batch_rows)), device=u_nE.device))
            return {"loss": (self.difference(a, c, m) / count.clamp_min(1)).to(dtype)}

    @abstractmethod
    def difference(self, a_EE: Tensor, c_EE: Tensor, m_EE: Tensor) -> Tensor:
        """The squared norm, from the moments."""

    def _unit(self, step: Step, view: View, rows_n: Tensor) -> Tensor:
        x = view(step).x[rows_n] if step.has(view.modality) else None
        width = process_max(0 if x is None else x.shape[1])
        return unit(step.zero() + step.zero().new_zeros(0, width)) if x is None else unit(x)


class CrossConsistency(Consistency):
    """(1/B) sum_jk (u_j.v_k - u_k.v_j)^2: the cosine of image j with text k is that of image k with text j (CyCLIP,
    Goel et al. 2022, weight 0.25)."""

    name = "cross-consistency"

    def difference(self, a_EE: Tensor, c_EE: Tensor, m_EE: Tensor) -> Tensor:
        return 2 * ((a_EE * c_EE).sum() - (m_EE * m_EE.T).sum())


class InModalConsistency(Consistency):
    """(1/B) sum_jk (u_j.u_k - v_j.v_k)^2: two images are as alike as their texts (CyCLIP, Goel et al. 2022, weight
    0.25)."""

    name = "in-modal-consistency"

    def difference(self, a_EE: Tensor, c_EE: Tensor, m_EE: Tensor) -> Tensor:
        return a_EE.square().sum() + c_EE.square().sum() - 2 * m_EE.square().sum()
