"""Scaled cosine error: a regression of directions that looks away from what is easy (GraphMAE, Hou et al. 2022).

Shape legend: M = vectors, D = width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def scaled_cosine_error(x_MD: Tensor, target_MD: Tensor, *, gamma: float = 1.0) -> Tensor:
    """(M,) errors (1 - cos)^gamma in float32 or finer: equal directions 0, orthogonal ones 1, opposite ones 2^gamma.

    1 - cos is kept at 0 or above: rounding below it would be NaN under a power that is no whole number.
    """
    fine = torch.promote_types(x_MD.dtype, torch.float32)
    cosine_M = F.cosine_similarity(x_MD.to(fine), target_MD.to(fine), dim=-1)
    error_M = (1 - cosine_M).clamp_min(0)
    return error_M if gamma == 1 else error_M.clamp_min(torch.finfo(fine).eps).pow(gamma)
