"""Kernels between rows of one representation, and the sums over a pair of Gram matrices that HSIC needs.

Shape legend: N = rows, D, E = widths of two representations, n, m = rows of two blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import ConfigError, DataError
from core.evaluation.alignment.rows import row_blocks

MEDIAN_ROWS = 2048


@dataclass(frozen=True, slots=True)
class FittedKernel:
    """block: (n, D), (m, D) -> (n, m). diagonal: (n, D) -> (n,), each row with itself."""

    block: Callable[[Tensor, Tensor], Tensor]
    diagonal: Callable[[Tensor], Tensor]


class Kernel(ABC):
    """A similarity of two rows that may first look at all rows."""

    @abstractmethod
    def fitted(self, x_ND: Tensor) -> FittedKernel:
        """The kernel of blocks of rows, with what it takes from the whole set fixed."""


class LinearKernel(Kernel):
    """k(x, x') = (x - mean) . (x' - mean)."""

    def fitted(self, x_ND: Tensor) -> FittedKernel:
        # HSIC does not see a shift; taking the mean off first keeps the sums small
        mean_D = x_ND.mean(dim=0)
        return FittedKernel(
            lambda a_nD, b_mD: (a_nD - mean_D) @ (b_mD - mean_D).T, lambda a_nD: (a_nD - mean_D).square().sum(dim=1)
        )


class RBFKernel(Kernel):
    """k(x, x') = exp(-|x - x'|^2 / (2 sigma^2)), sigma = `fraction` of the median distance (Kornblith et al. 2019).

    The median (the lower of the two middle values) is over pairs of distinct rows, of at most 2,048 evenly spaced
    rows. Raises DataError when it is 0.
    """

    def __init__(self, *, fraction: float = 1.0) -> None:
        if fraction <= 0:
            raise ConfigError(f"RBFKernel: fraction is {fraction}; give a positive share of the median distance")
        self.fraction = fraction

    def fitted(self, x_ND: Tensor) -> FittedKernel:
        chosen = torch.linspace(0, len(x_ND) - 1, min(len(x_ND), MEDIAN_ROWS), dtype=torch.float64).round().long()
        sigma = self.fraction * torch.pdist(x_ND[chosen.to(x_ND.device)]).median()
        if float(sigma) <= 0:
            raise DataError("RBF kernel: more than half of the pairs of rows are equal; the bandwidth would be 0")
        return FittedKernel(
            lambda a_nD, b_mD: (-torch.cdist(a_nD, b_mD).square() / (2 * sigma**2)).exp(),
            lambda a_nD: a_nD.new_ones(len(a_nD)),
        )


@dataclass(frozen=True, slots=True)
class GramSums:
    """Sums over Gram matrices K and L of the same N rows. kl, kk, ll: sums of products entry by entry. rows_k, rows_l:
    row sums, (N,). diagonal_k, diagonal_l: (N,). All float64."""

    kl: Tensor
    kk: Tensor
    ll: Tensor
    rows_k: Tensor
    rows_l: Tensor
    diagonal_k: Tensor
    diagonal_l: Tensor


def gram_sums(x_ND: Tensor, y_NE: Tensor, of_x: FittedKernel, of_y: FittedKernel, *, chunk: int) -> GramSums:
    """Sums from blocks of the two Gram matrices: time O(N^2 (D + E)), memory O(chunk N)."""
    kl, kk, ll = (torch.zeros((), dtype=torch.float64, device=x_ND.device) for _ in range(3))
    rows: list[tuple[Tensor, Tensor]] = []
    for block in row_blocks(len(x_ND), chunk):
        k_nN, l_nN = of_x.block(x_ND[block], x_ND), of_y.block(y_NE[block], y_NE)
        kl += (k_nN * l_nN).sum()
        kk += k_nN.square().sum()
        ll += l_nN.square().sum()
        rows.append((k_nN.sum(dim=1), l_nN.sum(dim=1)))
    rows_k, rows_l = (torch.cat(parts) for parts in zip(*rows, strict=True))
    return GramSums(kl, kk, ll, rows_k, rows_l, of_x.diagonal(x_ND), of_y.diagonal(y_NE))


def linear_gram_sums(x_ND: Tensor, y_NE: Tensor) -> GramSums:
    """The same sums for linear kernels, from D x E matrices: time O(N D E), no Gram matrix."""
    x_ND, y_NE = x_ND - x_ND.mean(dim=0), y_NE - y_NE.mean(dim=0)
    return GramSums(
        kl=(x_ND.T @ y_NE).square().sum(),
        kk=(x_ND.T @ x_ND).square().sum(),
        ll=(y_NE.T @ y_NE).square().sum(),
        rows_k=x_ND @ x_ND.sum(dim=0),
        rows_l=y_NE @ y_NE.sum(dim=0),
        diagonal_k=x_ND.square().sum(dim=1),
        diagonal_l=y_NE.square().sum(dim=1),
    )
