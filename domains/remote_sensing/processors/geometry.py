"""The geometry that modalities of one place share: the part of a tile that is seen, flips, quarter turns.

Shape legend: H, W = rows and columns, always the last two axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Variation:
    """One draw for all modalities of a place. top, left: where the crop lies, as shares of the room there is for it.
    flip: mirrored left to right. turns: quarter turns against the clock."""

    top: float
    left: float
    flip: bool
    turns: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Variation:
        """Always the same four numbers, whatever a modality makes of them."""
        top, left, flip, turns = rng.random(4)
        return cls(float(top), float(left), bool(flip < 0.5), int(turns * 4))


def cropped(array: np.ndarray, variation: Variation, side: int, step: int) -> np.ndarray:
    """A square of `side` pixels; its corner lies on a multiple of `step` pixels, so that coarser grids can follow."""
    index = []
    for share, size in ((variation.top, array.shape[-2]), (variation.left, array.shape[-1])):
        places = (size - side) // step + 1
        if places < 1:
            raise ConfigError(f"crop: is {side}, larger than the tile of {array.shape[-2]} x {array.shape[-1]} pixels")
        first = min(int(share * places), places - 1) * step
        index.append(slice(first, first + side))
    return array[..., index[0], index[1]]


def turned(array: np.ndarray, variation: Variation, *, flip: bool, rotate: bool) -> np.ndarray:
    """Mirrored and turned as drawn, as far as it is allowed; a tile that is not square is turned by half turns only."""
    if flip and variation.flip:
        array = array[..., ::-1]
    if rotate and variation.turns:
        square = array.shape[-1] == array.shape[-2]
        array = np.rot90(array, variation.turns if square else 2 * (variation.turns % 2), axes=(-2, -1))
    return array


def centred(array: np.ndarray, size: tuple[int, int], fill: float) -> np.ndarray:
    """The middle of (..., H, W) at this size; what is missing around it is `fill`."""
    out = np.full((*array.shape[:-2], *size), fill, array.dtype)
    into, from_ = [], []
    for wanted, there in zip(size, array.shape[-2:]):
        kept = min(wanted, there)
        into.append(slice((wanted - kept) // 2, (wanted - kept) // 2 + kept))
        from_.append(slice((there - kept) // 2, (there - kept) // 2 + kept))
    out[..., into[0], into[1]] = array[..., from_[0], from_[1]]
    return out
