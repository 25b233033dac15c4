"""Centred kernel alignment: do two representations of the same rows have the same geometry? (Kornblith et al. 2019)

Shape legend: N = rows, D, E = widths of the two representations, which may differ.
Invariant to rotations and isotropic scaling of either side, not to general linear maps. float64 throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import DataError
from core.evaluation.alignment.kernels import GramSums, Kernel, RBFKernel, gram_sums, linear_gram_sums
from core.evaluation.alignment.kernels import LinearKernel as LinearKernel
from core.evaluation.alignment.rows import CHUNK, check_pairs


def linear_cka(x_ND: Tensor, y_NE: Tensor, *, chunk: int = CHUNK) -> float:
    """|Yc^T Xc|_F^2 / (|Xc^T Xc|_F |Yc^T Yc|_F), in [0, 1]; nan for a side whose rows are all equal.

    Biased upward when rows are few for the width (independent data of N = 50, D = 200 reach about 0.8): see
    `debiased_linear_cka`. From D x E matrices, or from blocks of the Gram matrices where rows are fewer.
    """
    return _biased(_linear_sums("linear CKA", x_ND, y_NE, 2, chunk))


def debiased_linear_cka(x_ND: Tensor, y_NE: Tensor, *, chunk: int = CHUNK) -> float:
    """Linear CKA from the unbiased estimate of HSIC (Song et al. 2012, theorem 2): about 0 for independent data, and
    may fall below 0. Needs at least 4 rows."""
    return _debiased(_linear_sums("debiased linear CKA", x_ND, y_NE, 4, chunk))


def kernel_cka(
    x_ND: Tensor, y_NE: Tensor, *, kernel_x: Kernel | None = None, kernel_y: Kernel | None = None, chunk: int = CHUNK
) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of any two kernels, RBF with the median distance where none is given."""
    return _biased(_kernel_sums("kernel CKA", x_ND, y_NE, kernel_x, kernel_y, 2, chunk))


def debiased_kernel_cka(
    x_ND: Tensor, y_NE: Tensor, *, kernel_x: Kernel | None = None, kernel_y: Kernel | None = None, chunk: int = CHUNK
) -> float:
    """`kernel_cka` from the unbiased estimate of HSIC. Needs at least 4 rows."""
    return _debiased(_kernel_sums("debiased kernel CKA", x_ND, y_NE, kernel_x, kernel_y, 4, chunk))


def rbf_cka(x_ND: Tensor, y_NE: Tensor, *, fraction: float = 1.0, chunk: int = CHUNK) -> float:
    """CKA with RBF kernels, each with a bandwidth of `fraction` of its own median distance."""
    kernel = RBFKernel(fraction=fraction)
    return kernel_cka(x_ND, y_NE, kernel_x=kernel, kernel_y=kernel, chunk=chunk)


def _linear_sums(who: str, x_ND: Tensor, y_NE: Tensor, least: int, chunk: int) -> GramSums:
    x_ND, y_NE = _doubles(who, x_ND, y_NE, least)
    if len(x_ND) >= max(x_ND.shape[1], y_NE.shape[1]):
        return linear_gram_sums(x_ND, y_NE)
    return gram_sums(x_ND, y_NE, LinearKernel().fitted(x_ND), LinearKernel().fitted(y_NE), chunk=chunk)


def _kernel_sums(
    who: str, x_ND: Tensor, y_NE: Tensor, kernel_x: Kernel | None, kernel_y: Kernel | None, least: int, chunk: int
) -> GramSums:
    x_ND, y_NE = _doubles(who, x_ND, y_NE, least)
    of_x, of_y = (kernel_x or RBFKernel()).fitted(x_ND), (kernel_y or RBFKernel()).fitted(y_NE)
    return gram_sums(x_ND, y_NE, of_x, of_y, chunk=chunk)


def _doubles(who: str, x_ND: Tensor, y_NE: Tensor, least: int) -> tuple[Tensor, Tensor]:
    check_pairs(who, x_ND, y_NE, least=least, same_width=False)
    x_ND, y_NE = x_ND.detach().double(), y_NE.detach().double()
    if not bool(torch.isfinite(x_ND).all() and torch.isfinite(y_NE).all()):
        raise DataError(f"{who}: nan or inf among the features; check the encoder or the inputs")
    return x_ND, y_NE


def _biased(s: GramSums) -> float:
    n = len(s.rows_k)

    def hsic(products: Tensor, a_N: Tensor, b_N: Tensor) -> Tensor:
        return products - 2 / n * a_N.dot(b_N) + a_N.sum() * b_N.sum() / n**2

    return _ratio(
        hsic(s.kl, s.rows_k, s.rows_l), hsic(s.kk, s.rows_k, s.rows_k), hsic(s.ll, s.rows_l, s.rows_l), s.kk, s.ll
    )


def _debiased(s: GramSums) -> float:
    n = len(s.rows_k)
    k_N, l_N = s.rows_k - s.diagonal_k, s.rows_l - s.diagonal_l

    def hsic(products: Tensor, a_N: Tensor, b_N: Tensor) -> Tensor:
        return products + a_N.sum() * b_N.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * a_N.dot(b_N)

    return _ratio(
        hsic(s.kl - s.diagonal_k.dot(s.diagonal_l), k_N, l_N),
        hsic(s.kk - s.diagonal_k.square().sum(), k_N, k_N),
        hsic(s.ll - s.diagonal_l.square().sum(), l_N, l_N),
        s.kk, s.ll,
    )  # fmt: skip


def _ratio(between: Tensor, own_k: Tensor, own_l: Tensor, scale_k: Tensor, scale_l: Tensor) -> float:
    """scale: what rounding of `own` is measured against."""
    if float(own_k) <= 1e-13 * float(scale_k) or float(own_l) <= 1e-13 * float(scale_l):
        return float("nan")
    return float(between / (own_k.sqrt() * own_l.sqrt()))
