"""Each row meets its own pair and its own written negatives, and no other row's.

Shape legend: n = pairs, K = negatives per row, E = width of the shared space, h, w = rows and columns of one tile.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.keys.base import Keys, Occasion, Problem
from core.objectives.contrast.keys.restricted import RestrictedWeights
from core.objectives.contrast.matrix import Gradients, Matrix, computed_in, inner
from core.objectives.contrast.similarity import Similarity
from core.objectives.contrast.targets import Ids, Target, Weights
from core.objectives.contrast.tiles import Tile
from core.objectives.processes import same_need_of_gradient, world_size
from core.objectives.views import View, Viewed, as_view


class ExtraNegatives(Keys):
    """-log e^{z_pos} / (e^{z_pos} + sum_k e^{z_neg_k}) over a row's own K hard negatives (HQ-CLIP-style: descriptions
    of the image that are wrong in a detail). K negatives as good as the positive cost ln(K + 1), none costs 0.

    Each negative is a modality of its own, of which any row may lack any; a row without any has no term. One direction,
    rows -> keys, for targets whose positive is the own pair (`OneHot`); add it to the batch's own loss as a second
    term. Vectors only. Costs n (K + 1) E, nothing that grows with n squared.
    """

    least = 1

    def __init__(self, *, negatives: Sequence[str | View]) -> None:
        super().__init__()
        if not negatives:
            raise ConfigError("ExtraNegatives: no negatives given; list at least one modality or view")
        self.negatives = torch.nn.ModuleList([as_view(view) for view in negatives])

    @property
    def key(self) -> Hashable:
        return ExtraNegatives, tuple(view.key for view in self._views())

    @property
    def collective(self) -> bool:
        return world_size() > 1

    def _views(self) -> list[View]:
        return [view for view in self.negatives if isinstance(view, View)]

    def problems(
        self, a: Viewed, b: Viewed, content_n: Tensor, shares: tuple[float, float], at: Occasion | None = None
    ) -> list[Problem]:
        assert at is not None  # the term says what it compares
        if shares[1] != 0:
            raise ConfigError(
                f"ExtraNegatives: directions are {list(shares)}; written negatives belong to the rows: set directions "
                "to [1, 0]"
            )
        if b.x.ndim != 2 and len(b.x) > 0:
            raise ConfigError("ExtraNegatives compares vectors; give views of one vector per row")
        columns, real = [b.x], [torch.zeros(len(b.x), dtype=torch.bool, device=b.x.device)]
        for view in self._views():
            x_nE, real_n = _of_rows(at, view, b.x)
            columns.append(x_nE)
            real.append(real_n)
        real_nK = torch.stack(real, dim=1)
        (rows_n,) = real_nK.any(1).nonzero(as_tuple=True)  # a row without negatives has no term
        if len(rows_n) == 0 and not self.collective:
            return []
        real_nK[:, 0] = True
        a, own = a.rows(rows_n), Viewed(torch.stack(columns, dim=1)[rows_n])
        if self.collective:
            a, own = same_need_of_gradient(a), same_need_of_gradient(own)
        item_n = torch.zeros_like(rows_n)
        slot_K = -torch.arange(own.x.shape[1], device=own.x.device)  # slot 0 is the item that every row looks for
        ids = Ids(item_n, item_n), Ids(slot_K, slot_K)
        return [OwnProblem(a, own, *ids, shares[0], None, len(slot_K), self.collective, real_nK[rows_n])]


@dataclass(slots=True)
class OwnProblem(Problem):
    """cols: (n, K + 1, E), every row's own columns. real: (n, K + 1) bool."""

    real: Tensor | None = None

    def matrix(self, similarity: Similarity) -> Matrix:
        return OwnMatrix(self.rows.x, self.cols.x)

    def weights(self, target: Target, dtype: torch.dtype) -> Weights:
        rows = self.row_ids._replace(sides=self.rows.sides, x=self.rows.x.detach())
        return RestrictedWeights(target.weights(rows, self.col_ids, dtype), self._admits)

    def _admits(self, tile: Tile) -> Tensor:
        assert self.real is not None
        return self.real[tile.rows, tile.cols].clone()


class OwnMatrix(Matrix):
    """S_ik = rows_i . own_ik."""

    def __init__(self, rows_nE: Tensor, own_nKE: Tensor) -> None:
        self.inputs = computed_in(rows_nE).contiguous(), computed_in(own_nKE).contiguous()

    @property
    def shape(self) -> tuple[int, int]:
        return self.inputs[1].shape[0], self.inputs[1].shape[1]

    @torch.no_grad()
    def reach(self) -> Tensor:
        rows_nE, own_nKE = self.inputs
        if 0 in self.shape:
            return rows_nE.new_zeros(())
        return (rows_nE.norm(dim=1) * own_nKE.norm(dim=2).amax(1)).max()

    def tile_(self, out_hw: Tensor, tile: Tile, factor: float) -> None:
        rows_nE, own_nKE = self.inputs
        torch.matmul(own_nKE[tile.rows, tile.cols], rows_nE[tile.rows, :, None], out=out_hw[:, :, None])
        out_hw.mul_(factor)

    def gradients(self) -> Gradients:
        return _OwnGradients(self)


class _OwnGradients(Gradients):
    def __init__(self, matrix: OwnMatrix) -> None:
        self.matrix = matrix
        rows_nE, own_nKE = matrix.inputs
        self.d_rows = torch.zeros_like(rows_nE)
        self.d_own = torch.zeros_like(own_nKE) if own_nKE.requires_grad else None

    def add_(self, g_hw: Tensor, tile: Tile) -> None:
        rows_nE, own_nKE = self.matrix.inputs
        self.d_rows[tile.rows] += torch.matmul(g_hw[:, None, :], own_nKE[tile.rows, tile.cols])[:, 0]
        if self.d_own is not None:
            self.d_own[tile.rows, tile.cols] += g_hw[:, :, None] * rows_nE[tile.rows, None, :]

    def total(self) -> tuple[list[Tensor | None], Tensor]:
        rows_nE, _ = self.matrix.inputs
        return [self.d_rows if rows_nE.requires_grad else None, self.d_own], inner(rows_nE, self.d_rows)


def _of_rows(at: Occasion, view: View, like_nE: Tensor) -> tuple[Tensor, Tensor]:
    """(n, E) prepared vectors of the rows, zeros where they lack the modality, and (n,) bool where they have it."""
    real_n = torch.zeros(len(like_nE), dtype=torch.bool, device=like_nE.device)
    out_nE = torch.zeros_like(like_nE)
    if not at.step.has(view.modality):
        return out_nE, real_n
    present_B = at.step.batch.present[view.modality]
    has_n = present_B[at.rows_n]
    of_view = (present_B.long().cumsum(0) - 1)[at.rows_n[has_n]]
    vectors = at.similarity.keys(view(at.step).rows(of_view)).x.to(like_nE.dtype)
    real_n[:] = has_n.to(real_n.device)
    return out_nE.index_put((real_n.nonzero(as_tuple=True)[0],), vectors), real_n
