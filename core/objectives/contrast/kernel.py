"""One exact tiled kernel under every pairwise loss: O((n + m) D) memory however large the n x m logit matrix is.

Shape legend: n = rows, m = columns (keys), D = width, h, w = rows and columns of one tile.
Pass 1 streams tiles of logits past the divergence; pass 2 makes each tile again, turns it into dL/dZ in place and
accumulates the gradients. Both passes run in `forward`, so that `backward` only scales: four products of size n*m*D
in all, where the dense way needs three and several n x m matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from core.objectives.contrast.divergence import Divergence, Running
from core.objectives.contrast.targets import Tile, Weights

# Two float32 scratch tiles of 32 MiB. Within 10% of the fastest of 256 to 4096 per side on an idle machine, and by far
# the fastest on a busy one, where each of the few operations per tile ends in a wait for the slowest thread.
TILE = (2048, 4096)


def tiles(n: int, m: int, size: tuple[int, int]) -> Iterator[Tile]:
    """Rectangles that cover n x m, row block by row block; the last ones may be smaller."""
    for i in range(0, n, size[0]):
        for j in range(0, m, size[1]):
            yield Tile(slice(i, min(i + size[0], n)), slice(j, min(j + size[1], m)))


class _Scratch:
    """Two tile buffers, made once; smaller tiles use their front."""

    def __init__(self, like: Tensor, n: int, m: int, size: tuple[int, int], count: int) -> None:
        area = min(n, size[0]) * min(m, size[1])
        self.buffers = [like.new_empty(area) for _ in range(count)]

    def view(self, which: int, tile: Tile) -> Tensor:
        h, w = tile.rows.stop - tile.rows.start, tile.cols.stop - tile.cols.start
        return self.buffers[which][: h * w].view(h, w)


def _logits(out_hw: Tensor, rows_hD: Tensor, keys_wD: Tensor, scale: float, bias: float | None) -> Tensor:
    out_hw.addmm_(rows_hD, keys_wD.T, beta=0, alpha=scale)
    return out_hw if bias is None else out_hw.add_(bias)


class _TiledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        rows_nD: Tensor,
        keys_mD: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        running: Running,
        size: tuple[int, int],
        needs: tuple[bool, bool] | None,
    ) -> Tensor:
        n, m = len(rows_nD), len(keys_mD)
        s, b = float(scale), None if bias is None else float(bias)
        scratch = _Scratch(rows_nD, n, m, size, count=1 if needs is None else 2)
        with torch.autocast(rows_nD.device.type, enabled=False):
            for tile in tiles(n, m, size):
                z_hw = _logits(scratch.view(0, tile), rows_nD[tile.rows], keys_mD[tile.cols], s, b)
                running.observe(z_hw, tile)
            loss = running.value().to(rows_nD.dtype)
            if needs is not None:
                ctx.grads = _gradients(rows_nD, keys_mD, s, b, running, size, scratch, needs)  # type: ignore[attr-defined]
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Any, ...]:
        grads = [
            None if not needed or g is None else (g * grad_loss).to(g.dtype)
            for needed, g in zip(ctx.needs_input_grad[:4], ctx.grads, strict=True)
        ]
        return *grads, None, None, None


def _gradients(
    rows_nD: Tensor,
    keys_mD: Tensor,
    s: float,
    b: float | None,
    running: Running,
    size: tuple[int, int],
    scratch: _Scratch,
    needs: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor | None]:
    """dL/d(rows, keys, scale, bias). needs: whether rows and keys have a gradient; a frozen side costs no product."""
    n, m = len(rows_nD), len(keys_mD)
    d_rows_nD = torch.zeros_like(rows_nD) if needs[0] or not needs[1] else None
    d_keys_mD = torch.zeros_like(keys_mD) if needs[1] else None
    d_bias = rows_nD.new_zeros(())
    for tile in tiles(n, m, size):
        z_hw = _logits(scratch.view(0, tile), rows_nD[tile.rows], keys_mD[tile.cols], s, b)
        running.gradient_(z_hw, scratch.view(1, tile), tile)
        if d_rows_nD is not None:
            d_rows_nD[tile.rows].addmm_(z_hw, keys_mD[tile.cols])
        if d_keys_mD is not None:
            d_keys_mD[tile.cols].addmm_(z_hw.T, rows_nD[tile.rows])
        if b is not None:
            d_bias += z_hw.sum()
    # sum_ij dL/dZ_ij S_ij = sum_i a_i . (sum_j dL/dZ_ij k_j): the scale's gradient costs no further pass
    x_D, d_D = (rows_nD, d_rows_nD) if d_rows_nD is not None else (keys_mD, d_keys_mD)
    assert d_D is not None
    d_scale = torch.zeros_like(d_bias)
    for i in range(0, len(x_D), size[0]):
        d_scale += (x_D[i : i + size[0]] * d_D[i : i + size[0]]).sum()
    for d in (d_rows_nD, d_keys_mD):
        if d is not None:
            d.mul_(s)
    return d_rows_nD, d_keys_mD, d_scale, None if b is None else d_bias


def _computed_in(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def tiled_loss(
    rows_nD: Tensor,
    keys_mD: Tensor,
    *,
    scale: Tensor,
    bias: Tensor | None = None,
    weights: Weights,
    divergence: Divergence,
    row_weight_n: Tensor | None,
    col_weight_m: Tensor | None,
    tile: tuple[int, int] = TILE,
) -> tuple[Tensor, Running]:
    """`divergence` of the logits scale * rows @ keys.T + bias from the target `weights`: (0-d loss, its statistics).

    Exact in value and in the gradients of rows, keys, scale and bias. Half precision is computed in float32, float64
    stays float64. row_weight (n,), col_weight (m,): factor of each row's and each column's term, None for no terms in
    that direction; a row or column whose target is empty must have factor 0 (see `term_weights`).
    Differentiable once.
    """
    if row_weight_n is None and col_weight_m is None:
        raise ValueError("tiled_loss: neither rows nor columns carry a loss; give row_weight_n or col_weight_m")
    rows_nD, keys_mD = _computed_in(rows_nD).contiguous(), _computed_in(keys_mD).contiguous()
    scale = scale.to(rows_nD.device)
    with torch.no_grad():
        reach = rows_nD.norm(dim=1).max() * keys_mD.norm(dim=1).max() if len(rows_nD) and len(keys_mD) else scale * 0
        bound = float(scale.abs() * reach) + (0.0 if bias is None else abs(float(bias)))
    running = divergence.begin(weights, row_weight_n, col_weight_m, bound)
    inputs = [t for t in (rows_nD, keys_mD, scale, bias) if t is not None]
    wants_grad = torch.is_grad_enabled() and any(t.requires_grad for t in inputs)
    needs = (rows_nD.requires_grad, keys_mD.requires_grad) if wants_grad else None
    loss = _TiledLoss.apply(rows_nD, keys_mD, scale, bias, running, tile, needs)
    return loss, running


def term_weights(total_n: Tensor, share: float | None, sample_weight_n: Tensor | None = None) -> Tensor | None:
    """(n,) factors of a direction's terms: sample weights over rows with a non-empty target, summing to `share`.

    None when share is None. total_n: sums of the target weights (`Weights.row_total_n` or `col_total_m`).
    """
    if share is None:
        return None
    w_n = (total_n > 0).to(total_n.dtype)
    if sample_weight_n is not None:
        w_n = w_n * sample_weight_n.to(total_n.dtype)
    return share * w_n / w_n.sum().clamp_min(torch.finfo(w_n.dtype).tiny)
