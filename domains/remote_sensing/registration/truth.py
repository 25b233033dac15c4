"""Which cells and pixels of a pair show the same ground, from its known warp.

The places are those of EfficientLoFTR (Wang et al. 2024): cell (row, column) of the coarse map stands for the pixel
8 * (column, row); feature k of its fine window for 8 * (column, row) + k - 3.5, in both axes and both pictures.

Shape legend: B = pairs, N = coarse cells, M = coarse matches, K = 64 places of a fine window, H, W = rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from domains.remote_sensing.registration.warps import Warps, grid

CELL = 8  # pixels of a coarse cell's side: the backbone's stride
MIDDLE = (CELL - 1) / 2


@dataclass(frozen=True, slots=True)
class CoarseTruth:
    """partner_BN: cell of the second picture that shows what a cell of the first does, -1 for none; matches are mutual.
    weight_BN: overlap of the two cells, prod(1 - 2 |offset|) in cells: 1 when they coincide, 0 half a cell apart.
    first_BN, second_BN: cells that show something."""

    partner_BN: Tensor  # noqa: N815
    weight_BN: Tensor  # noqa: N815
    first_BN: Tensor  # noqa: N815
    second_BN: Tensor  # noqa: N815


@dataclass(frozen=True, slots=True)
class FineTruth:
    """partner_MK: place in the second window of each place of the first, -1 for none. offset_MK2: what remains to the
    true place, (x, y) in pixels, within half a pixel."""

    partner_MK: Tensor  # noqa: N815
    offset_MK2: Tensor  # noqa: N815


def cells(valid_BHW: Tensor) -> Tensor:
    """(B, N) bool: cells of which at least half is valid."""
    return F.avg_pool2d(valid_BHW[:, None].float(), CELL).flatten(1) >= 0.5


def coarse_truth(warps: Warps, first_BHW: Tensor, second_BHW: Tensor) -> CoarseTruth:
    """Matches of the cells of two pictures of one size, the second being the first after `warps`.

    first_BHW, second_BHW: bool, what is valid in each.
    """
    size = first_BHW.shape[-2] // CELL, first_BHW.shape[-1] // CELL
    known_first_BN, known_second_BN = cells(first_BHW), cells(second_BHW)
    places_BN2 = grid(size, first_BHW.device, CELL).expand(len(first_BHW), -1, -1)
    there_BN2, back_BN2 = warps.forward(places_BN2) / CELL, warps.inverse(places_BN2) / CELL
    to_BN, inside_BN = _cell(there_BN2, size)
    from_BN, _ = _cell(back_BN2, size)
    own_N = torch.arange(to_BN.shape[1], device=to_BN.device)
    match_BN = inside_BN & known_first_BN & known_second_BN.gather(1, to_BN) & (from_BN.gather(1, to_BN) == own_N)
    weight_BN = (1 - 2 * (there_BN2 - there_BN2.round()).abs()).prod(-1)
    return CoarseTruth(to_BN.where(match_BN, -1), weight_BN * match_BN, known_first_BN, known_second_BN)


def fine_truth(
    warps: Warps, first_BHW: Tensor, second_BHW: Tensor, pair_M: Tensor, cell_M: Tensor, partner_M: Tensor
) -> FineTruth:
    """Matches between the fine windows of matched cells. pair_M: which of the B pairs; cell_M, partner_M: its cells."""
    wide = first_BHW.shape[-1] // CELL
    inner_K2 = grid((CELL, CELL), first_BHW.device)[0]
    own_MK2 = _corner(cell_M, wide)[:, None] + inner_K2 - MIDDLE
    chosen = Warps(warps.matrix_V33[pair_M], None if warps.knots_V2GG is None else warps.knots_V2GG[pair_M], warps.side)
    there_MK2 = chosen.forward(own_MK2)
    in_window_MK2 = there_MK2 - _corner(partner_M, wide)[:, None] + MIDDLE
    nearest_MK2 = in_window_MK2.round()
    inside_MK = ((nearest_MK2 >= 0) & (nearest_MK2 < CELL)).all(-1)
    known_MK = _at(first_BHW, pair_M, own_MK2) & _at(second_BHW, pair_M, there_MK2)
    index_MK = (nearest_MK2[..., 1] * CELL + nearest_MK2[..., 0]).long()
    return FineTruth(index_MK.where(inside_MK & known_MK, -1), in_window_MK2 - nearest_MK2)


def _cell(place_BN2: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Index of the nearest cell (0 where there is none), and whether there is one."""
    column_BN, row_BN = place_BN2.round().unbind(-1)
    inside_BN = (column_BN >= 0) & (column_BN < size[1]) & (row_BN >= 0) & (row_BN < size[0])
    return (row_BN * size[1] + column_BN).where(inside_BN, 0).long(), inside_BN


def _corner(cell_M: Tensor, wide: int) -> Tensor:
    return torch.stack([cell_M % wide, cell_M // wide], -1).float() * CELL


def _at(valid_BHW: Tensor, pair_M: Tensor, place_MK2: Tensor) -> Tensor:
    """(M, K) bool: whether the nearest pixel exists and is valid."""
    rows, columns = valid_BHW.shape[-2:]
    x_MK, y_MK = place_MK2.round().long().unbind(-1)
    inside_MK = (x_MK >= 0) & (x_MK < columns) & (y_MK >= 0) & (y_MK < rows)
    return inside_MK & valid_BHW[pair_M[:, None], y_MK.clamp(0, rows - 1), x_MK.clamp(0, columns - 1)]
