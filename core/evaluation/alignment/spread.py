"""How close pairs are and how evenly a modality fills the sphere, exact and without an N x N matrix.

Shape legend: N = rows, E = embedding width, n, m = rows of two blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.evaluation.alignment.rows import CHUNK, check_pairs, row_blocks, unit


def alignment_per_pair(x_NE: Tensor, y_NE: Tensor) -> Tensor:
    """Squared distance of each pair of unit vectors, (N,) in [0, 4]."""
    check_pairs("alignment", x_NE, y_NE)
    return (unit(x_NE) - unit(y_NE)).square().sum(dim=1)


def alignment(x_NE: Tensor, y_NE: Tensor) -> float:
    """Mean squared distance of paired unit vectors, in [0, 4]; lower is better (Wang and Isola 2020, alpha = 2)."""
    return float(alignment_per_pair(x_NE, y_NE).double().mean())


def uniformity(x_NE: Tensor, *, t: float = 2.0, chunk: int = CHUNK) -> float:
    """log of the mean of exp(-t |x - x'|^2) over all pairs of distinct rows, in [-4 t, 0]; lower means more evenly
    spread (Wang and Isola 2020). nan for fewer than two rows. Time O(N^2 E), memory O(chunk^2)."""
    rows = len(x_NE)
    if rows < 2:
        return float("nan")
    x_NE = unit(x_NE)
    total = 0.0
    for a in row_blocks(rows, chunk):
        for b in row_blocks(a.stop, chunk):  # the lower triangle of blocks: every pair once
            value_nm = (2 * t * ((x_NE[a] @ x_NE[b].T).clamp(-1, 1) - 1)).exp()
            if a == b:
                value_nm = value_nm.tril(-1)
            total += float(value_nm.sum(dtype=torch.float64))
    return float(torch.tensor(2 * total / (rows * (rows - 1)), dtype=torch.float64).log())


def mean_self_cosine(x_NE: Tensor) -> float:
    """Mean cosine over all pairs of distinct rows, in [-1, 1]: the narrowness of the cone (Liang et al. 2022).

    Negative cosines count like any other. From the norm of the summed rows, so the cost is O(N E). nan for one row.
    """
    rows = len(x_NE)
    if rows < 2:
        return float("nan")
    x_NE = unit(x_NE).double()
    return float((x_NE.sum(dim=0).square().sum() - x_NE.square().sum()) / (rows * (rows - 1)))
