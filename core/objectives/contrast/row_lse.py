"""Log-sum-exp of each row of a logit matrix that is made tile by tile: for losses that are a function of it.

Shape legend: n = rows, m = columns, h, w = rows and columns of one tile.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.objectives.contrast.kernel import TILE
from core.objectives.contrast.matrix import Matrix
from core.objectives.contrast.normaliser import RunningSums
from core.objectives.contrast.targets.weights import Finder
from core.objectives.contrast.tiles import Tile


def row_lse(matrix: Matrix, scale: Tensor, excluded: Finder | None = None, tile: tuple[int, int] = TILE) -> Tensor:
    """(n,) log sum_j e^{scale * S_ij} over the columns that are not excluded, float32 or better; the lowest number of
    its precision for a row without any, and no gradient there as long as the loss has none.

    Differentiable once in the matrix's inputs and the scale; `backward` makes every tile again. O(n + m) memory.
    """
    out: Tensor = _RowLse.apply(scale, matrix, excluded, tile, *matrix.inputs)
    return out


class _RowLse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scale: Tensor, matrix: Matrix, excluded: Finder | None, size: tuple[int, int], *inputs: Tensor
    ) -> Tensor:
        n, m = matrix.shape
        ctx.sums = RunningSums(n, m, matrix.like, True, False)
        ctx.scale, ctx.matrix, ctx.excluded, ctx.size = float(scale), matrix, excluded, size
        with torch.autocast(matrix.like.device.type, enabled=False):
            for tile in matrix.tiles(size):
                ctx.sums.observe(_logits(ctx, tile), tile)
        lse_n: Tensor = ctx.sums.row_lse().to(matrix.like.dtype)
        return lse_n.clamp_min(torch.finfo(lse_n.dtype).min)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_n: Tensor) -> tuple[Any, ...]:
        gradients = ctx.matrix.gradients()
        with torch.autocast(grad_n.device.type, enabled=False):
            for tile in ctx.matrix.tiles(ctx.size):
                z_hw = _logits(ctx, tile)
                ctx.sums.weigh_(z_hw, z_hw, tile, grad_n[tile.rows], None)
                gradients.add_(z_hw, tile)
        d_inputs, d_scale = gradients.total()
        return d_scale, None, None, None, *(None if d is None else d * ctx.scale for d in d_inputs)


def _logits(ctx: Any, tile: Tile) -> Tensor:
    z_hw: Tensor = ctx.matrix.like.new_empty(tile.shape)
    ctx.matrix.tile_(z_hw, tile, ctx.scale)
    if ctx.excluded is not None:
        z_hw[ctx.excluded(tile)] = torch.finfo(z_hw.dtype).min
    return z_hw
