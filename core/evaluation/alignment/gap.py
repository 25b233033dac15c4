"""The modality gap: how far apart two modalities lie as wholes, and what moving them together does.

Shape legend: N, M = rows of either modality, E = embedding width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import DataError
from core.evaluation.alignment.rows import check_pairs, unit
from core.evaluation.alignment.spread import mean_self_cosine

SHIFTS = tuple(np.arange(-5.0, 5.0, 0.25).tolist())  # of the published study: [-5, 5) in steps of 0.25


def gap_vector(x_NE: Tensor, y_ME: Tensor) -> Tensor:
    """Mean of the unit rows of x minus that of y, (E,) (Liang et al. 2022, section 2). Rows need not be paired."""
    if x_NE.ndim != 2 or y_ME.ndim != 2 or x_NE.shape[1] != y_ME.shape[1] or not len(x_NE) or not len(y_ME):
        raise DataError(f"modality gap: shapes are {tuple(x_NE.shape)} and {tuple(y_ME.shape)}; give (N, E) and (M, E)")
    return unit(x_NE).mean(dim=0) - unit(y_ME).mean(dim=0)


def modality_gap(x_NE: Tensor, y_ME: Tensor) -> float:
    """Length of the gap vector, in [0, 2]; 0 = no gap. Finite samples of one distribution give a little above 0."""
    return float(gap_vector(x_NE, y_ME).norm())


def relative_modality_gap(x_NE: Tensor, y_NE: Tensor) -> float:
    """d(pairs) / (d(pairs) + d(within)), in [0, 1], where d is 1 - cosine: the mean over matching pairs, and the mean
    over distinct rows of one modality, averaged over the two (Schrodi et al. 2024, as other code states it).

    0 = pairs coincide, 1/2 = a pair is as far apart as two random rows of a modality, 1 = each modality is one point.
    Unlike the gap it is not helped by a space that has collapsed. nan when every row is the same point.
    """
    check_pairs("relative modality gap", x_NE, y_NE, least=2)
    between = float(1.0 - (unit(x_NE).double() * unit(y_NE).double()).sum(dim=1).mean())
    within = 1.0 - (mean_self_cosine(x_NE) + mean_self_cosine(y_NE)) / 2
    total = between + within
    return between / total if total > 1e-12 else float("nan")


@dataclass(frozen=True, slots=True)
class ShiftedGap:
    """One point of the curve. shift: multiple of the gap direction. gap: what is left of the gap, signed along that
    direction (negative when the modalities have changed sides). distance: length of the new gap vector. figure: what
    was measured there, nan when nothing was."""

    shift: float
    gap: float
    distance: float
    figure: float


def gap_shift_curve(
    x_NE: Tensor,
    y_ME: Tensor,
    *,
    figure: Callable[[Tensor, Tensor], float] | None = None,
    shifts: Sequence[float] = SHIFTS,
) -> list[ShiftedGap]:
    """Move the modalities along the unit gap direction g and measure again (Liang et al. 2022, section 4).

    x' = norm(x - shift/2 g), y' = norm(y + shift/2 g): a positive shift closes the gap, 0 leaves it. figure: measured
    on the shifted unit rows, for instance a zero-shot accuracy or a loss. Without a gap there is no direction, and
    every point is that of shift 0.
    """
    x_NE, y_ME = unit(x_NE), unit(y_ME)
    direction_E = F.normalize(gap_vector(x_NE, y_ME), dim=0)
    curve = []
    for shift in shifts:
        moved_x, moved_y = unit(x_NE - shift / 2 * direction_E), unit(y_ME + shift / 2 * direction_E)
        left_E = gap_vector(moved_x, moved_y)
        value = float("nan") if figure is None else float(figure(moved_x, moved_y))
        curve.append(ShiftedGap(float(shift), float(torch.dot(left_E, direction_E)), float(left_E.norm()), value))
    return curve
