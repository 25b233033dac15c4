"""Local CKA: how well a query and a candidate of another space fit among known pairs (Maniparambil et al. 2024).

Shape legend: A = anchor pairs, Q = queries, G = candidates, D, E = widths of the two spaces, q = queries of one block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import DataError
from core.evaluation.alignment.kernels import FittedKernel, Kernel, LinearKernel, gram_sums
from core.evaluation.alignment.rows import CHUNK, check_pairs
from core.evaluation.scores import Scores


def local_cka_scores(
    anchors_x_AD: Tensor,
    anchors_y_AE: Tensor,
    queries_QD: Tensor,
    candidates_GE: Tensor,
    *,
    kernel_x: Kernel | None = None,
    kernel_y: Kernel | None = None,
    chunk: int = CHUNK,
) -> Scores:
    """score(q, g) = CKA of the anchors' Gram matrices, each bordered by q and by g: unpaired spaces of different widths
    can be ranked, matched or searched with it. Kernels are linear where none is given.

    A pair costs O(A), not O(A^2): every term of the bordered HSIC is that of the anchors plus terms of the border.
    float64. Raises DataError for fewer than 2 anchors or widths that do not fit.
    """
    check_pairs("local CKA", anchors_x_AD, anchors_y_AE, least=2, same_width=False)
    for name, x, anchors in (("queries", queries_QD, anchors_x_AD), ("candidates", candidates_GE, anchors_y_AE)):
        if x.ndim != 2 or x.shape[1] != anchors.shape[1] or not len(x):
            raise DataError(f"local CKA: {name} are {tuple(x.shape)}, their anchors {tuple(anchors.shape)}")
    ax, ay, qx, gy = (t.detach().double() for t in (anchors_x_AD, anchors_y_AE, queries_QD, candidates_GE))
    of_x, of_y = (kernel_x or LinearKernel()).fitted(ax), (kernel_y or LinearKernel()).fitted(ay)
    sums = gram_sums(ax, ay, of_x, of_y, chunk=chunk)
    side_x = _Side.of(qx, ax, of_x, sums.rows_k)
    side_y = _Side.of(gy, ay, of_y, sums.rows_l)
    own_x_Q, own_y_G = side_x.own_hsic(sums.kk), side_y.own_hsic(sums.ll)

    def block(rows: slice) -> Tensor:
        between_qG = _hsic(sums.kl, side_x, side_y, rows)
        norm_qG = (own_x_Q[rows, None] * own_y_G[None, :]).clamp(min=0).sqrt()
        return torch.where(norm_qG > 0, between_qG / norm_qG, 0.0)

    return Scores((len(qx), len(gy)), block, "local CKA")


@dataclass(frozen=True, slots=True)
class _Side:
    """Border terms of one space. border: (R, A) kernel of R rows with the anchors. corner: (R,) with themselves.
    row_sums: (A,) of the anchors' Gram matrix."""

    border: Tensor
    corner: Tensor
    row_sums: Tensor

    @classmethod
    def of(cls, x_RD: Tensor, anchors_AD: Tensor, kernel: FittedKernel, row_sums_A: Tensor) -> _Side:
        return cls(kernel.block(x_RD, anchors_AD), kernel.diagonal(x_RD), row_sums_A)

    @property
    def last(self) -> Tensor:
        """(R,) sums of the border row, corner included."""
        return self.border.sum(dim=1) + self.corner

    @property
    def total(self) -> Tensor:
        """(R,) sums of the whole bordered matrix."""
        return self.row_sums.sum() + 2 * self.border.sum(dim=1) + self.corner

    def own_hsic(self, products: Tensor) -> Tensor:
        """HSIC of the bordered matrix with itself, (R,)."""
        m = len(self.row_sums) + 1
        square_R = products + 2 * self.border.square().sum(dim=1) + self.corner.square()
        rows_R = (self.row_sums + self.border).square().sum(dim=1) + self.last.square()
        return square_R - 2 / m * rows_R + self.total.square() / m**2


def _hsic(products: Tensor, x: _Side, y: _Side, rows: slice) -> Tensor:
    m = len(x.row_sums) + 1
    border_qA, corner_q1 = x.border[rows], x.corner[rows, None]
    cross_qG = border_qA @ y.border.T
    square_qG = products + 2 * cross_qG + corner_q1 * y.corner
    rows_qG = (
        x.row_sums.dot(y.row_sums)
        + (border_qA @ y.row_sums)[:, None]
        + y.border @ x.row_sums
        + cross_qG
        + x.last[rows, None] * y.last
    )
    return square_qG - 2 / m * rows_qG + x.total[rows, None] * y.total / m**2
