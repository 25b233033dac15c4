"""Images and volumes as rows of patches, and back.

Shape legend: V = rows, C = channels, N = patches (row-major over the grid), P = values of a patch (its pixels in
row-major order, channels last, as in MAE).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from core.errors import DataError


def patchify(x: Tensor, patch: Sequence[int]) -> Tensor:
    """(V, C, *size) -> (V, N, P), size (H, W) or (S, H, W).

    Raises DataError when a side is no multiple of the patch.
    """
    size = x.shape[2:]
    if len(size) != len(patch) or any(side % p for side, p in zip(size, patch, strict=True)):
        raise DataError(
            f"an input of size {tuple(size)} cannot be cut into patches of {tuple(patch)}; "
            "let the processor resize or crop to a multiple"
        )
    grid = grid_of(size, patch)
    split = x.reshape(*x.shape[:2], *(n for pair in zip(grid, patch, strict=True) for n in pair))
    axes = range(len(patch))
    return split.permute(0, *(2 + 2 * a for a in axes), *(3 + 2 * a for a in axes), 1).reshape(
        len(x), math.prod(grid), math.prod(patch) * x.shape[1]
    )


def unpatchify(x_VNP: Tensor, patch: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Inverse of `patchify`: (V, N, P) -> (V, C, *size), size = grid * patch."""
    channels = x_VNP.shape[2] // math.prod(patch)
    axes = range(len(patch))
    split = x_VNP.reshape(len(x_VNP), *grid, *patch, channels)
    mixed = split.permute(0, 1 + 2 * len(patch), *(n for a in axes for n in (1 + a, 1 + len(patch) + a)))
    return mixed.reshape(len(x_VNP), channels, *(g * p for g, p in zip(grid, patch, strict=True)))


def grid_of(size: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    return tuple(side // p for side, p in zip(size, patch, strict=True))


def pad_slices(x: Tensor, mask_VS: Tensor | None, step: int) -> tuple[Tensor, Tensor | None]:
    """A volume (V, C, S, H, W) with S filled up to a multiple of `step`, as the encoder does, and its slice mask."""
    missing = -x.shape[2] % step
    if missing == 0:
        return x, mask_VS
    return F.pad(x, (0, 0, 0, 0, 0, missing)), None if mask_VS is None else F.pad(mask_VS, (0, missing))


def normalised(patches_VNP: Tensor) -> Tensor:
    """(x - mean) / sqrt(var + 1e-6) of each patch, unbiased variance, float32 (He et al. 2022, norm_pix)."""
    x_VNP = patches_VNP if patches_VNP.element_size() > 4 else patches_VNP.float()
    return (x_VNP - x_VNP.mean(-1, keepdim=True)) / (x_VNP.var(-1, keepdim=True) + 1e-6).sqrt()
