"""From features of a pair to matched points: mutual nearest cells, the best place of their windows, its fraction.

Shape legend: B = pairs, N = coarse cells, M = matches, K = 64 places of a fine window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from domains.remote_sensing.registration.losses import dual_log_softmax, expected_offset
from domains.remote_sensing.registration.matcher import LoFTRMatcher, PairFeatures
from domains.remote_sensing.registration.truth import CELL, MIDDLE, cells

THRESHOLD = 0.2  # of the coarse probability
BORDER = 2  # cells at the edge that are left out
FINE_TEMPERATURE = 10.0


@dataclass(frozen=True, slots=True)
class Matches:
    """Points (x, y) in pixels that show the same ground. pair_M: which pair; first_M2, second_M2: float32 points;
    score_M: coarse probability in [0, 1]."""

    pair_M: Tensor  # noqa: N815
    first_M2: Tensor  # noqa: N815
    second_M2: Tensor  # noqa: N815
    score_M: Tensor  # noqa: N815

    def of(self, pair: int) -> Matches:
        """Those of one pair."""
        here = self.pair_M == pair
        return Matches(self.pair_M[here], self.first_M2[here], self.second_M2[here], self.score_M[here])


@torch.no_grad()
def match(
    matcher: LoFTRMatcher,
    first_B1HW: Tensor,
    second_B1HW: Tensor,
    first_BHW: Tensor | None = None,
    second_BHW: Tensor | None = None,
    *,
    threshold: float = THRESHOLD,
    border: int = BORDER,
) -> Matches:
    """Matches of grey pictures; first_BHW, second_BHW: what is valid in them, None = all."""
    found = matcher.pair(first_B1HW, second_B1HW)
    rows_BN = None if first_BHW is None else cells(first_BHW)
    columns_BN = None if second_BHW is None else cells(second_BHW)
    p_BNN = dual_log_softmax(found.similarity(matcher.temperature), rows_BN, columns_BN).exp()
    pair_M, first_M, second_M = mutual_nearest(p_BNN, found.size, threshold=threshold, border=border)
    score_M = p_BNN[pair_M, first_M, second_M]
    known_M = torch.ones_like(pair_M, dtype=torch.bool)
    for known_BN, cell_M in ((rows_BN, first_M), (columns_BN, second_M)):
        if known_BN is not None:
            known_M &= known_BN[pair_M, cell_M]
    pair_M, first_M, second_M, score_M = (t[known_M] for t in (pair_M, first_M, second_M, score_M))
    first_M2, second_M2 = refine(matcher, found, pair_M, first_M, second_M)
    return Matches(pair_M, first_M2, second_M2, score_M)


def mutual_nearest(
    p_BNN: Tensor, size: tuple[int, int], *, threshold: float = THRESHOLD, border: int = BORDER
) -> tuple[Tensor, Tensor, Tensor]:
    """(pair, cell of the first, cell of the second) that are each other's best, above the threshold, off the edges."""
    best_BNN = (p_BNN > threshold) & (p_BNN == p_BNN.amax(2, keepdim=True)) & (p_BNN == p_BNN.amax(1, keepdim=True))
    inner_N = torch.zeros(size, dtype=torch.bool, device=p_BNN.device)
    inner_N[border : size[0] - border, border : size[1] - border] = True
    inner_N = inner_N.flatten()
    pair_M, first_M, second_M = (best_BNN & inner_N[:, None] & inner_N[None]).nonzero(as_tuple=True)
    # equal scores, as of pictures without content, would give one cell several partners
    once_M = torch.ones_like(pair_M, dtype=torch.bool)
    once_M[1:] = (pair_M[1:] != pair_M[:-1]) | (first_M[1:] != first_M[:-1])
    return pair_M[once_M], first_M[once_M], second_M[once_M]


def refine(
    matcher: LoFTRMatcher, found: PairFeatures, pair_M: Tensor, first_M: Tensor, second_M: Tensor
) -> tuple[Tensor, Tensor]:
    """Points (M, 2), (M, 2) of matched cells: the best pair of places of their windows, the second to a fraction."""
    wide = found.size[1]
    corner_first_M2, corner_second_M2 = (
        torch.stack([c % wide, c // wide], -1).float() * CELL for c in (first_M, second_M)
    )
    if len(pair_M) == 0:
        return corner_first_M2, corner_second_M2
    one_MKRS, two_MKRS = matcher.fine(found, pair_M, first_M, second_M)
    log_MKRS = dual_log_softmax(one_MKRS.flatten(2)).view_as(one_MKRS)
    best_M = log_MKRS[..., 1:-1, 1:-1].flatten(1).argmax(1)
    place_M, partner_M = best_M // CELL**2, best_M % CELL**2
    score_M9 = matcher.around(two_MKRS, torch.arange(len(pair_M), device=pair_M.device), place_M, partner_M)
    delta_first_M2, delta_second_M2 = (
        torch.stack([p % CELL, p // CELL], -1).float() - MIDDLE for p in (place_M, partner_M)
    )
    fraction_M2 = expected_offset(score_M9, FINE_TEMPERATURE)
    return corner_first_M2 + delta_first_M2, corner_second_M2 + delta_second_M2 + fraction_M2
