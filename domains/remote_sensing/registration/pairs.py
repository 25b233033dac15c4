"""Training pairs: two aligned pictures of one ground, one of them warped in a known way, one perhaps of another sensor.

Shape legend: B = pairs, C = bands, H, W = rows and columns of the given tiles, S = side of the pictures made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import ConfigError
from core.types import ModalityInput
from domains.remote_sensing.registration.appearance import check_kinds, pseudo_modality
from domains.remote_sensing.registration.grey import composite, stretch
from domains.remote_sensing.registration.matcher import SIDE_STEP
from domains.remote_sensing.registration.warps import WarpRange, Warps


@dataclass(frozen=True, slots=True)
class Pairs:
    """Grey pictures (B, 1, S, S) in [0, 1], what is valid in them (B, S, S), and the warp from first to second."""

    first_B1HW: Tensor  # noqa: N815
    second_B1HW: Tensor  # noqa: N815
    first_BHW: Tensor  # noqa: N815
    second_BHW: Tensor  # noqa: N815
    warps: Warps


class PairMaker:
    """Makes pairs of a batch of aligned tiles; everything random comes from the generator that is given.

    size: S, a multiple of 32; the first picture is the middle of its tile, and what a warp brings in from outside
    comes from the rest of the tile, as far as there is any. pseudo: share of pairs whose second side is a pseudo
    modality of the first. kinds: which (`appearance`). warp: how strong. mix_bands: random weights of the bands of each
    picture, so that no composite is learned by heart; False: all bands alike.
    """

    def __init__(
        self,
        *,
        size: int,
        pseudo: float = 0.0,
        kinds: Sequence[str] = ("tone",),
        warp: WarpRange | None = None,
        mix_bands: bool = True,
    ) -> None:
        if size < SIDE_STEP or size % SIDE_STEP:
            raise ConfigError(f"size: is {size}; pictures to be matched have sides that are multiples of {SIDE_STEP}")
        if not 0 <= pseudo <= 1:
            raise ConfigError(f"pseudo: is {pseudo}; give a share in [0, 1]")
        check_kinds(kinds)
        self.size, self.pseudo, self.kinds, self.mix_bands = size, pseudo, tuple(kinds), mix_bands
        self.warp = warp or WarpRange()

    def __call__(
        self, first: ModalityInput, second: ModalityInput, generator: torch.Generator, *, alone: bool = False
    ) -> Pairs:
        """Pairs of aligned tiles; which modality is warped is drawn. alone: both are one sensor, so that the second
        side always becomes a pseudo modality."""
        rows, columns = first.x.shape[-2:]
        if first.x.shape[-2:] != second.x.shape[-2:] or min(rows, columns) < self.size:
            raise ConfigError(
                f"tiles of {rows} x {columns} and {tuple(second.x.shape[-2:])} pixels make no pairs of {self.size}: "
                "both modalities lie on one grid, at least as large"
            )
        count, device = len(first.x), first.x.device
        grey_1, grey_2 = (self._grey(inp, generator) for inp in (first, second))
        valid_1, valid_2 = (inp.extra.get("valid") for inp in (first, second))
        all_BHW = torch.ones(count, rows, columns, dtype=torch.bool, device=device)
        valid_1, valid_2 = (all_BHW if v is None else v for v in (valid_1, valid_2))
        swap_B = (torch.rand(count, generator=generator) < 0.5).to(device)
        still, moved = (_either(swap_B, a, b) for a, b in ((grey_2, grey_1), (grey_1, grey_2)))
        still_valid, moved_valid = (_either(swap_B, a, b) for a, b in ((valid_2, valid_1), (valid_1, valid_2)))
        invented_B = torch.rand(count, generator=generator) < (1.0 if alone else self.pseudo)
        if invented_B.any():
            here = invented_B.to(device)
            moved, moved_valid = moved.clone(), moved_valid.clone()
            moved[here] = pseudo_modality(still[here], self.kinds, generator)
            moved_valid[here] = still_valid[here]
        warps = Warps.draw(count, self.size, self.warp, generator).to(device)
        top, left = (rows - self.size) // 2, (columns - self.size) // 2
        size = (self.size, self.size)
        second_B1HW = warps.sample(moved, size, (top, left))
        second_BHW = warps.sample(moved_valid[:, None].float(), size, (top, left))[:, 0] > 0.999
        first_B1HW = still[..., top : top + self.size, left : left + self.size]
        first_BHW = still_valid[..., top : top + self.size, left : left + self.size]
        return Pairs(stretch(first_B1HW, first_BHW), stretch(second_B1HW, second_BHW), first_BHW, second_BHW, warps)

    def _grey(self, inp: ModalityInput, generator: torch.Generator) -> Tensor:
        count, bands = inp.x.shape[:2]
        weights_VC = None
        if self.mix_bands and bands > 1:
            weights_VC = torch.rand(count, bands, generator=generator).clamp_min(1e-3) ** 2
            weights_VC = weights_VC.to(inp.x.device)
        return composite(inp.x, inp.extra.get("valid"), weights_VC)


def _either(choose_B: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(choose_B.view(-1, *(1,) * (yes.ndim - 1)), yes, no)
