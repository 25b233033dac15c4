"""The three losses of EfficientLoFTR (Wang et al. 2024): focal over coarse cells, focal over fine windows, subpixel.

Log-probabilities are kept as logarithms: the released code clamps the probability at 1e-6, below which a positive gives
no gradient; here it does, and above it the values are equal.

Shape legend: B = pairs (or windows), N, M = cells (or places) of the first and second picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

MASKED = -1e4  # a similarity that no cell has: finite, so that a row in which all are masked stays finite


def dual_log_softmax(sim_BNM: Tensor, rows_BN: Tensor | None = None, columns_BM: Tensor | None = None) -> Tensor:
    """(B, N, M) float32 log of softmax over the columns times softmax over the rows. Masked ones take no share."""
    sim_BNM = precise(sim_BNM)
    if rows_BN is not None:
        sim_BNM = sim_BNM.masked_fill(~rows_BN[:, :, None], MASKED)
    if columns_BM is not None:
        sim_BNM = sim_BNM.masked_fill(~columns_BM[:, None], MASKED)
    return sim_BNM.log_softmax(dim=2) + sim_BNM.log_softmax(dim=1)


def precise(x: Tensor) -> Tensor:
    """float32, or float64 as it is."""
    return x if x.dtype == torch.float64 else x.float()


def positive_focal(
    log_p_BNM: Tensor, partner_BN: Tensor, weight_BN: Tensor | None = None, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Mean over the positives of -alpha (1 - p)^gamma ln p; 0-d, an exact zero with a graph when there is none.

    partner_BN: column of each row's positive, -1 for none. weight_BN: factor of each positive; the mean still divides
    by their number.
    """
    pair_P, row_P = (partner_BN >= 0).nonzero(as_tuple=True)
    if len(pair_P) == 0:
        return log_p_BNM.reshape(-1)[:0].sum()
    log_P = log_p_BNM[pair_P, row_P, partner_BN[pair_P, row_P]]
    loss_P = -alpha * (-torch.expm1(log_P)).clamp_min(0) ** gamma * log_P
    return (loss_P if weight_BN is None else loss_P * weight_BN[pair_P, row_P]).mean()


def expected_offset(score_P9: Tensor, temperature: float = 10.0) -> Tensor:
    """(P, 2) expectation of (x, y) in [-1, 1] under softmax(score / temperature) over 3 x 3 places, row by row."""
    share_P33 = (precise(score_P9) / temperature).softmax(-1).view(-1, 3, 3)
    step_3 = torch.tensor([-1.0, 0.0, 1.0]).to(share_P33)
    return torch.stack([(share_P33.sum(1) * step_3).sum(-1), (share_P33.sum(2) * step_3).sum(-1)], -1)


def subpixel(score_P9: Tensor, offset_P2: Tensor, *, temperature: float = 10.0, within: float = 1.0) -> Tensor:
    """Mean squared distance between expected and true offset, over those whose true offset is within `within` pixels in
    x and y; 0-d, an exact zero with a graph when there is none."""
    near_P = (offset_P2.abs() < within).all(-1)
    if not near_P.any():
        return score_P9.reshape(-1)[:0].sum()
    return ((expected_offset(score_P9[near_P], temperature) - offset_P2[near_P]) ** 2).sum(-1).mean()
