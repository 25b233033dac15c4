"""Losses between the logits of a mini-batch of distilled pairs and learned similarities (LoRS, RepBlend).

Shape legend: b = pairs of a mini-batch (20 in RepBlend, so whole matrices are no matter). z (b, b) logits, image by
text; q (b, b) targets, about 1 on the diagonal, not normalised, not confined to [0, 1].
Every one is twice differentiable in both arguments and returns a 0-d mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def weighted_bce(z_bb: Tensor, q_bb: Tensor, *, epsilon: float = 0.0) -> Tensor:
    """Binary cross entropy, the mean over q > 0.5 and the mean over q <= 0.5, averaged (LoRS's "WBCE").

    epsilon 0 is exact. The released code has 1e-6 inside both logarithms and on both counts, which at a scale of 14
    moves values by 2e-3 and gradients by 2e-2: set 1e-6 only for parity. A side without entries counts as 0.
    """
    each_bb = _bce_each(z_bb, q_bb, epsilon)
    high_bb = (q_bb.detach() > 0.5).to(z_bb.dtype)
    means = [
        (each_bb * on_bb).sum() / (on_bb.sum().clamp_min(1) if epsilon == 0 else on_bb.sum() + epsilon)
        for on_bb in (high_bb, 1 - high_bb)
    ]
    return (means[0] + means[1]) / 2


def bce(z_bb: Tensor, q_bb: Tensor) -> Tensor:
    """Mean binary cross entropy of all entries."""
    return _bce_each(z_bb, q_bb, 0.0).mean()


def nce(z_bb: Tensor, q_bb: Tensor) -> Tensor:
    """-sum_j q_ij log softmax_j z_ij, q as it is; mean over rows, and of both directions. q = identity is InfoNCE."""
    rows, cols = (-(q * z.log_softmax(1)).sum(1).mean() for z, q in ((z_bb, q_bb), (z_bb.T, q_bb.T)))
    return (rows + cols) / 2


def cwcl(z_bb: Tensor, q_bb: Tensor) -> Tensor:
    """As `nce` with every row of the target divided by its sum + 1e-6, in each direction."""
    rows, cols = (
        -(q / (q.sum(1, keepdim=True) + 1e-6) * z.log_softmax(1)).sum(1).mean()
        for z, q in ((z_bb, q_bb), (z_bb.T, q_bb.T))
    )
    return (rows + cols) / 2


def kl(z_bb: Tensor, q_bb: Tensor) -> Tensor:
    """KL(softmax(10 q) || softmax(z)) by rows, as a mean over all b^2 entries."""
    log_q_bb = (10 * q_bb).log_softmax(1)
    return (log_q_bb.exp() * (log_q_bb - z_bb.log_softmax(1))).mean()


def mse(z_bb: Tensor, q_bb: Tensor) -> Tensor:
    """Mean squared difference of sigmoid(z) and q."""
    return (z_bb.sigmoid() - q_bb).square().mean()


def _bce_each(z_bb: Tensor, q_bb: Tensor, epsilon: float) -> Tensor:
    if epsilon == 0:
        return F.softplus(z_bb) - q_bb * z_bb
    p_bb = z_bb.sigmoid()
    return -(q_bb * torch.log(p_bb + epsilon) + (1 - q_bb) * torch.log(1 - p_bb + epsilon))
