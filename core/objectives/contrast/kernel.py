"""One exact tiled kernel under every pairwise loss: O((n + m) D) memory however large the n x m logit matrix is.

Shape legend: n = rows, m = columns (keys), D = width, h, w = rows and columns of one tile.
Pass 1 streams tiles of logits past the divergence; pass 2 makes each tile again, turns it into dL/dZ in place and
accumulates the gradients. Both passes run in `forward`, so that `backward` only scales: four products of size n*m*D
in all, where the dense way needs three and several n x m matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from core.objectives.contrast.divergence import Divergence, Running
from core.objectives.contrast.matrix import Matrix
from core.objectives.contrast.targets import Weights
from core.objectives.contrast.tiles import Tile
from core.objectives.processes import mean_of_all

# Two float32 scratch tiles of 32 MiB. Within 10% of the fastest of 256 to 4096 per side on an idle machine, and by far
# the fastest on a busy one, where each of the few operations per tile ends in a wait for the slowest thread.
TILE = (2048, 4096)


class _Scratch:
    """Two tile buffers, made once; smaller tiles use their front."""

    def __init__(self, like: Tensor, n: int, m: int, size: tuple[int, int]) -> None:
        area = min(n, size[0]) * min(m, size[1])
        self.buffers = [like.new_empty(area) for _ in range(2)]

    def view(self, which: int, tile: Tile) -> Tensor:
        h, w = tile.shape
        return self.buffers[which][: h * w].view(h, w)


def _logits_(out_hw: Tensor, matrix: Matrix, tile: Tile, scale: float, bias: float | None) -> Tensor:
    matrix.tile_(out_hw, tile, scale)
    return out_hw if bias is None else out_hw.add_(bias)


class _TiledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        scale: Tensor,
        bias: Tensor | None,
        matrix: Matrix,
        running: Running,
        size: tuple[int, int],
        wants_grad: bool,
        *inputs: Tensor,
    ) -> Tensor:
        n, m = matrix.shape
        s, b = float(scale), None if bias is None else float(bias)
        scratch = _Scratch(matrix.like, n, m, size)
        with torch.autocast(matrix.like.device.type, enabled=False):
            if running.prepares:
                for tile in matrix.tiles(size):
                    running.prepare(_logits_(scratch.view(0, tile), matrix, tile, s, b), tile)
            for tile in matrix.tiles(size):
                z_hw = _logits_(scratch.view(0, tile), matrix, tile, s, b)
                running.observe(z_hw, scratch.view(1, tile), tile)
            loss = running.value().to(matrix.like.dtype)
            if wants_grad:
                ctx.grads = _gradients(matrix, s, b, running, size, scratch)  # type: ignore[attr-defined]
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Any, ...]:
        d_scale, d_bias, *d_inputs = (None if g is None else (g * grad_loss).to(g.dtype) for g in ctx.grads)
        return d_scale, d_bias, None, None, None, None, *d_inputs


def _gradients(
    matrix: Matrix, s: float, b: float | None, running: Running, size: tuple[int, int], scratch: _Scratch
) -> list[Tensor | None]:
    """dL/d(scale, bias, inputs...)."""
    sums = matrix.gradients()
    d_bias = matrix.like.new_zeros(())
    for tile in matrix.tiles(size):
        z_hw = _logits_(scratch.view(0, tile), matrix, tile, s, b)
        running.gradient_(z_hw, scratch.view(1, tile), tile)
        if b is not None:
            d_bias += z_hw.sum()
        sums.add_(z_hw, tile)
    d_inputs, d_scale = sums.total()
    for d in d_inputs:
        if d is not None:
            d.mul_(s)
    return [d_scale, None if b is None else d_bias, *d_inputs]


def tiled_loss(
    matrix: Matrix,
    *,
    scale: Tensor,
    bias: Tensor | None = None,
    weights: Weights,
    divergence: Divergence,
    row_weight_n: Tensor | None,
    col_weight_m: Tensor | None,
    tile: tuple[int, int] = TILE,
    everywhere: bool = False,
) -> tuple[Tensor, Running]:
    """`divergence` of the logits scale * S + bias from the target `weights`: (0-d loss, its statistics).

    Exact in value and in the gradients of the matrix's inputs, scale and bias. row_weight (n,), col_weight (m,): factor
    of each row's and each column's term, None for no terms in that direction; a row or column whose target is empty
    must have factor 0 (see `term_weights`). everywhere: this is one process's part of a loss (`Problem.everywhere`).
    Differentiable once.
    """
    if row_weight_n is None and col_weight_m is None:
        raise ValueError("tiled_loss: neither rows nor columns carry a loss; give row_weight_n or col_weight_m")
    scale = scale.to(matrix.like.device)
    with torch.no_grad():
        bound = float(scale.abs() * matrix.reach()) + (0.0 if bias is None else abs(float(bias)))
    tile = matrix.fitting(tile)
    running = divergence.begin(weights, row_weight_n, col_weight_m, bound)
    running.everywhere = everywhere
    inputs = [t for t in (*matrix.inputs, scale, bias) if t is not None]
    wants_grad = torch.is_grad_enabled() and any(t.requires_grad for t in inputs)
    loss = _TiledLoss.apply(scale, bias, matrix, running, tile, wants_grad, *matrix.inputs)
    return loss, running


def term_weights(
    total_n: Tensor,
    share: float | None,
    sample_weight_n: Tensor | None = None,
    *,
    every_row: bool = False,
    everywhere: bool = False,
) -> Tensor | None:
    """(n,) factors of a direction's terms: sample weights over rows with a non-empty target, summing to `share`.

    None when share is None. total_n: sums of the target weights (`Weights.row_total_n` or `col_total_m`).
    every_row: rows with an empty target have terms too (`Divergence.every_row`). everywhere: the factors of all
    processes sum to share * processes, whatever of it is here; collective.
    """
    if share is None:
        return None
    w_n = torch.ones_like(total_n) if every_row else (total_n > 0).to(total_n.dtype)
    if sample_weight_n is not None:
        w_n = w_n * sample_weight_n.to(total_n.dtype)
    total = mean_of_all(w_n.sum()) if everywhere else w_n.sum()
    return share * w_n / total.clamp_min(torch.finfo(w_n.dtype).tiny)
