"""The two small parts that cross-modal levels share.

Shape legend: V = rows, P, Q = tokens of the two sequences, h = width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError

TEMPERATURES = (2.0, 2.5, 3.5, 4.5, math.inf)


class CrossAttention(nn.Module):
    """Match(p, q) = ReLU(W softmax(p (W q)^T) q), one W for both places (M3EL, Hu et al. 2025)."""

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, p_VPh: Tensor, q_VQh: Tensor, mask_VQ: Tensor | None = None) -> Tensor:
        """(V, P, h). mask: True = real token of q; a row without any gives ReLU(bias)."""
        logits_VPQ = p_VPh @ self.linear(q_VQh).transpose(1, 2)
        if mask_VQ is not None:
            logits_VPQ = logits_VPQ.masked_fill(~mask_VQ[:, None], torch.finfo(logits_VPQ.dtype).min)
            q_VQh = q_VQh * mask_VQ[..., None]
        return self.linear(logits_VPQ.softmax(dim=-1) @ q_VQh).relu()


class TemperaturePool(nn.Module):
    """Mean over T of mean(x) + share * sum_n x_n softmax_n(T x), channel by channel; T infinite is the maximum
    (M3EL, after the residual attention of Zhu and Wu 2021). The release writes 99 for infinite."""

    def __init__(self, *, temperatures: Sequence[float] = TEMPERATURES, share: float = 1.0) -> None:
        super().__init__()
        if not temperatures or min(temperatures) < 0:
            raise ConfigError(f"TemperaturePool: temperatures are {list(temperatures)}; give some, none negative")
        self.temperatures, self.share = tuple(float(t) for t in temperatures), share

    def forward(self, x_VPh: Tensor, mask_VP: Tensor) -> Tensor:
        """(V, h) over the real tokens; a row without any gives zeros."""
        real_VP1 = mask_VP[..., None]
        low = torch.finfo(x_VPh.dtype).min
        count_V1 = mask_VP.sum(dim=1, keepdim=True).clamp_min(1)
        kept_VPh = x_VPh.masked_fill(~real_VP1, 0)
        total_Vh = torch.zeros_like(kept_VPh[:, 0])
        for temperature in self.temperatures:
            if math.isinf(temperature):
                top_Vh = x_VPh.masked_fill(~real_VP1, low).amax(dim=1)
                total_Vh = total_Vh + top_Vh.masked_fill(~mask_VP.any(dim=1, keepdim=True), 0)
            else:
                weight_VPh = (x_VPh * temperature).masked_fill(~real_VP1, low).softmax(dim=1)
                total_Vh = total_Vh + (weight_VPh * kept_VPh).sum(dim=1)
        return kept_VPh.sum(dim=1) / count_V1 + self.share * total_Vh / len(self.temperatures)
