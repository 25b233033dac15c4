"""Series, images and volumes as rows of patches, and back.

Shape legend: V = rows, C = channels, N = patches (row-major over the grid), P = values of a patch (its pixels in
row-major order, channels last, as in MAE).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from core.errors import DataError

OPEN_ENDED = (1, 3)  # numbers of axes of which the first may have any length: samples of a series, slices of a volume


def patchify(x: Tensor, patch: Sequence[int]) -> Tensor:
    """(V, C, *size) -> (V, N, P), size (T,), (H, W) or (S, H, W).

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
    """x (V, C, S, ...) with S filled up to a multiple of `step`, as the encoders of series and volumes do, and its mask
    (V, S)."""
    missing = -x.shape[2] % step
    if missing == 0:
        return x, mask_VS
    x = F.pad(x, (0, 0) * (x.ndim - 3) + (0, missing))
    return x, None if mask_VS is None else F.pad(mask_VS, (0, missing))


def real_patches(mask_VS: Tensor, grid: Sequence[int]) -> Tensor:
    """(V, N) bool from (V, S): a patch is real when any of its steps along the first axis is."""
    return mask_VS.unflatten(1, (grid[0], -1)).any(2).repeat_interleave(math.prod(grid[1:]), dim=1)


def normalised(patches_VNP: Tensor) -> Tensor:
    """(x - mean) / sqrt(var + 1e-6) of each patch, unbiased variance, float32 (He et al. 2022, norm_pix)."""
    x_VNP = patches_VNP if patches_VNP.element_size() > 4 else patches_VNP.float()
    return (x_VNP - x_VNP.mean(-1, keepdim=True)) / (x_VNP.var(-1, keepdim=True) + 1e-6).sqrt()


def standardise_middle(x: Tensor, share: float = 0.8) -> Tensor:
    """Each row of x (V, ...) less the mean and divided by the deviation of its middle values: the `share` that is left
    when equally many of the smallest and the largest are put aside (depth maps in MultiMAE). Variance + 1e-6."""
    flat_VP = x.flatten(1)
    flat_VP = flat_VP if flat_VP.element_size() > 4 else flat_VP.float()
    aside = int(flat_VP.shape[1] * (1 - share) / 2 + 1e-9)
    middle_VP = flat_VP.sort(dim=1).values[:, aside : flat_VP.shape[1] - aside]
    mean_V1, var_V1 = middle_VP.mean(1, keepdim=True), middle_VP.var(1, keepdim=True)
    return ((flat_VP - mean_V1) / (var_V1 + 1e-6).sqrt()).reshape(x.shape)
