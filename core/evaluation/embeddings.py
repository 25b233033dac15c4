"""Figures of an embedding space that are cheap enough to log at every validation.

Shape legend: N = rows, E = embedding width, k = neighbours.
Everything runs in float32 at least, on the device of the input, without a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.evaluation.alignment.gap import modality_gap
from core.evaluation.alignment.rows import unit
from core.evaluation.alignment.spread import alignment, uniformity

MAX_ROWS = 2048  # of the figures that look at all pairs of rows


def effective_rank(x_NE: Tensor, *, max_rows: int = MAX_ROWS) -> float:
    """exp of the entropy of the normalised singular values of the unit rows, in [1, min(N, E)] (Roy and Vetterli 2007).

    1 = collapsed to one direction; the rows are not centred, so a common offset lowers it.
    """
    sigma = torch.linalg.svdvals(unit(x_NE[:max_rows]))
    p = sigma / sigma.sum().clamp(min=torch.finfo(sigma.dtype).tiny)
    return float(torch.special.entr(p).sum().exp())


@torch.no_grad()
def alignment_figures(a_NE: Tensor, b_NE: Tensor) -> dict[str, float]:
    """Every figure of two paired modalities by name; row i of both belongs together. Both (N, E), N at least 2."""
    a_NE, b_NE = unit(a_NE), unit(b_NE)
    cosine_N = (a_NE * b_NE).sum(dim=1)
    rows = len(a_NE)
    # the sum of all N * N cosines is the product of the two sums of rows: no N x N matrix is needed
    total = float(a_NE.sum(dim=0) @ b_NE.sum(dim=0))
    return {
        "positive_cosine": float(cosine_N.mean()),
        "negative_cosine": (total - float(cosine_N.sum())) / max(rows * (rows - 1), 1),
        "modality_gap": modality_gap(a_NE, b_NE),
        "alignment": alignment(a_NE, b_NE),
        "uniformity_a": uniformity(a_NE[:MAX_ROWS]),
        "uniformity_b": uniformity(b_NE[:MAX_ROWS]),
        "effective_rank_a": effective_rank(a_NE),
        "effective_rank_b": effective_rank(b_NE),
    }
