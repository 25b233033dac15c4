"""Sparsemax: the Euclidean projection onto the probability simplex (Martins and Astudillo 2016).

Shape legend: ... = any rows, K = entries of a distribution, k = the largest of them that are looked at.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

FIRST_LOOK = 64


def sparsemax(z: Tensor) -> Tensor:
    """argmin over distributions p of |p - z|^2 along the last axis, (..., K) -> (..., K), float32 or better.

    Exact. Only as many of the largest entries are sorted as the support may hold (64, then four times as many until
    every row's support is inside), so that 16,384 entries cost one selection and no full sort. Differentiable once;
    the Jacobian of a row is diag(s) - s s^T / |s| with s the indicator of its support.
    """
    if z.shape[-1] == 0:
        raise ValueError("sparsemax: the last axis is empty; a distribution needs at least one entry")
    z = z if z.dtype == torch.float64 else z.float()
    return _Sparsemax.apply(z)


class _Sparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        z = z - z.amax(-1, keepdim=True)  # sums of large numbers would lose the differences that decide
        p = (z - threshold(z)).clamp_min_(0)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (p,) = ctx.saved_tensors
        support = p > 0
        mean = (grad * support).sum(-1, keepdim=True) / support.sum(-1, keepdim=True)
        return (grad - mean) * support


def threshold(z: Tensor) -> Tensor:
    """(..., 1) tau with sum(max(z - tau, 0)) = 1."""
    entries, k = z.shape[-1], min(FIRST_LOOK, z.shape[-1])
    while True:
        top = z.topk(k, dim=-1).values
        order = torch.arange(1, k + 1, device=z.device, dtype=z.dtype)
        total = top.cumsum(-1)
        inside = 1 + order * top > total
        if k == entries or not bool(inside[..., -1].any()):
            break
        k = min(4 * k, entries)
    size = inside.sum(-1, keepdim=True).clamp_min(1)  # none is inside where an entry is NaN
    return (total.gather(-1, size - 1) - 1) / size
