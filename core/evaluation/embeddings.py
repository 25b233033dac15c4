"""Figures of an embedding space that are cheap enough to log at every validation.

Shape legend: N = rows, E = embedding width, k = neighbours.
Everything runs in float32 at least, on the device of the input, without a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def _unit(x_NE: Tensor) -> Tensor:
    return F.normalize(x_NE.detach().to(torch.promote_types(x_NE.dtype, torch.float32)), dim=1)


def modality_gap(a_NE: Tensor, b_NE: Tensor) -> float:
    """Distance between the means of the unit vectors, in [0, 2]; 0 = no gap (Liang et al. 2022, section 2)."""
    return float((_unit(a_NE).mean(dim=0) - _unit(b_NE).mean(dim=0)).norm())


def alignment(a_NE: Tensor, b_NE: Tensor) -> float:
    """Mean squared distance of paired unit vectors, in [0, 4]; lower is better (Wang and Isola 2020, alpha = 2)."""
    return float((_unit(a_NE) - _unit(b_NE)).square().sum(dim=1).mean())


def uniformity(x_NE: Tensor, *, max_rows: int = 2048) -> float:
    """log of the mean of exp(-2 |x - x'|^2) over distinct pairs of the first `max_rows` rows, in [-8, 0]; lower means
    more evenly spread (Wang and Isola 2020, t = 2). nan for fewer than two rows."""
    if len(x_NE) < 2:
        return float("nan")
    square = torch.pdist(_unit(x_NE[:max_rows])).square()
    return float((-2 * square).exp().mean().log())


def effective_rank(x_NE: Tensor, *, max_rows: int = 2048) -> float:
    """exp of the entropy of the normalised singular values of the unit rows, in [1, min(N, E)] (Roy and Vetterli 2007).

    1 = collapsed to one direction; the rows are not centred, so a common offset lowers it.
    """
    sigma = torch.linalg.svdvals(_unit(x_NE[:max_rows]))
    p = sigma / sigma.sum().clamp(min=torch.finfo(sigma.dtype).tiny)
    return float(torch.special.entr(p).sum().exp())


def hubness(queries_NE: Tensor, gallery_GE: Tensor, *, k: int = 10) -> float:
    """Skewness of how often each gallery row is among a query's k nearest, over the whole gallery; 0 when even
    (Radovanovic et al. 2010, equation 1)."""
    near_NK = (_unit(queries_NE) @ _unit(gallery_GE).T).topk(min(k, len(gallery_GE)), dim=1).indices
    count_G = torch.bincount(near_NK.flatten(), minlength=len(gallery_GE)).double()
    centred_G = count_G - count_G.mean()
    std = centred_G.square().mean().sqrt()
    return float((centred_G**3).mean() / std**3) if std > 0 else 0.0


@torch.no_grad()
def alignment_figures(a_NE: Tensor, b_NE: Tensor) -> dict[str, float]:
    """Every figure of two paired modalities by name; row i of both belongs together. Both (N, E), N at least 2."""
    a_NE, b_NE = _unit(a_NE), _unit(b_NE)
    cosine_N = (a_NE * b_NE).sum(dim=1)
    rows = len(a_NE)
    # the sum of all N * N cosines is the product of the two sums of rows: no N x N matrix is needed
    total = float(a_NE.sum(dim=0) @ b_NE.sum(dim=0))
    return {
        "positive_cosine": float(cosine_N.mean()),
        "negative_cosine": (total - float(cosine_N.sum())) / max(rows * (rows - 1), 1),
        "modality_gap": modality_gap(a_NE, b_NE),
        "alignment": alignment(a_NE, b_NE),
        "uniformity_a": uniformity(a_NE),
        "uniformity_b": uniformity(b_NE),
        "effective_rank_a": effective_rank(a_NE),
        "effective_rank_b": effective_rank(b_NE),
    }
