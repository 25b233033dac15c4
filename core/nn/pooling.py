"""From a token sequence to one vector, one class per rule. A row without any real token gives zeros, never NaN.

Shape legend: B = rows, N = tokens, D = width, H = attention heads. `prefix` tokens in front (a class token) are left
out by every rule but `ClsPool`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn.attention import check_heads


class Pooling(nn.Module, ABC):
    """x (B, N, D), mask (B, N) bool with True = real, prefix -> (B, D)."""

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None, prefix: int = 0) -> Tensor:
        body_BND = x_BND[:, prefix:]
        if body_BND.shape[1] == 0:
            return x_BND.sum(dim=1) * 0.0
        return self.pool(body_BND, None if mask_BN is None else mask_BN[:, prefix:])

    @abstractmethod
    def pool(self, x_BND: Tensor, mask_BN: Tensor | None) -> Tensor: ...


def _fill(x_BND: Tensor, mask_BN: Tensor | None, value: float) -> Tensor:
    return x_BND if mask_BN is None else x_BND.masked_fill(~mask_BN[..., None], value)


class MeanPool(Pooling):
    """Mean over the real tokens, summed in float32 or finer."""

    def pool(self, x_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
        if mask_BN is None:
            return x_BND.mean(dim=1)
        total_BD = _fill(x_BND, mask_BN, 0.0).sum(dim=1, dtype=torch.promote_types(x_BND.dtype, torch.float32))
        return (total_BD / mask_BN.sum(dim=1, keepdim=True).clamp_min(1)).to(x_BND.dtype)


class MaxPool(Pooling):
    """Channel-wise maximum over the real tokens."""

    def pool(self, x_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
        top_BD = _fill(x_BND, mask_BN, torch.finfo(x_BND.dtype).min).amax(dim=1)
        return top_BD if mask_BN is None else top_BD.masked_fill(~mask_BN.any(dim=1, keepdim=True), 0.0)


class MeanMaxPool(Pooling):
    """Per channel, (1 - g) mean + g max with a trained gate g = sigmoid(w), one half at the start.

    A mean dilutes what only one token in a hundred shows, a maximum forgets extent; a channel learns its own share.
    For a single token the result is that token.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.mean, self.max = MeanPool(), MaxPool()
        self.gate = nn.Parameter(torch.zeros(width))

    def pool(self, x_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
        return torch.lerp(self.mean.pool(x_BND, mask_BN), self.max.pool(x_BND, mask_BN), self.gate.sigmoid().to(x_BND))


class ClsPool(Pooling):
    """The first token of the sequence: a class token. Needs no mask."""

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None, prefix: int = 0) -> Tensor:
        if x_BND.shape[1] == 0:
            raise ConfigError("ClsPool: the sequence has no token; use an encoder with a class token, or MeanPool")
        return x_BND[:, 0]

    def pool(self, x_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
        return x_BND[:, 0]


class LastPool(Pooling):
    """The last real token: for causal encoders."""

    def pool(self, x_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
        if mask_BN is None:
            return x_BND[:, -1]
        order_N = torch.arange(1, x_BND.shape[1] + 1, device=x_BND.device)
        last_B = (mask_BN * order_N).amax(dim=1)
        picked_BD = x_BND[torch.arange(len(x_BND), device=x_BND.device), (last_B - 1).clamp_min(0)]
        return picked_BD.masked_fill((last_B == 0)[:, None], 0.0)


class AttentionPool(Pooling):
    """sum_n a_n x_n with a = softmax_n(w^T tanh(V x_n)) (Ilse et al. 2018, eq. 8), per head on its share of channels.

    w starts at zero, so that training begins at the mean. For a single token the result is that token.
    """

    def __init__(self, *, width: int, heads: int = 1, hidden: int = 128) -> None:
        super().__init__()
        check_heads(width, heads, type(self).__name__)
        self.heads = heads
        self.hidden = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, heads, bias=False)
        nn.init.zeros_(self.score.weight)

    def pool(self, x_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
        score_BNH = self.score(self.hidden(x_BND).tanh()).float()
        weight_BNH = _fill(score_BNH, mask_BN, torch.finfo(torch.float32).min).softmax(dim=1)
        weight_BNH = _fill(weight_BNH, mask_BN, 0.0)  # a row of padding only: uniform weights become zeros
        x_BNHK = x_BND.unflatten(-1, (self.heads, -1))
        return torch.einsum("bnh,bnhk->bhk", weight_BNH.to(x_BND.dtype), x_BNHK).flatten(1)


class PartsPool(Pooling):
    """The sequence cut into `parts` of equal length, the mean of each, and a linear map of all of them to D.

    Keeps apart what lies where along the sequence: the slices of a body run from its base to its top. Starts as the
    mean over the parts. A part without real tokens counts as the mean of the real ones; for a single token the fresh
    layer gives that token.
    """

    def __init__(self, *, width: int, parts: int) -> None:
        super().__init__()
        if parts < 1:
            raise ConfigError(f"PartsPool: parts is {parts}; give a positive count")
        self.parts = parts
        self.linear = nn.Linear(parts * width, width)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(width).repeat(1, parts) / parts)
            self.linear.bias.zero_()

    def pool(self, x_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
        share_PN = self._shares(x_BND.shape[1], x_BND)
        if mask_BN is None:
            return self.linear(torch.einsum("pn,bnd->bpd", share_PN, x_BND).flatten(1))
        share_BPN = share_PN * mask_BN[:, None]
        covered_BP1 = share_BPN.sum(dim=2, keepdim=True)
        part_BPD = torch.bmm(share_BPN, x_BND) / covered_BP1.clamp_min(1e-6)
        mean_B1D = (x_BND * mask_BN[..., None]).sum(1, keepdim=True) / mask_BN.sum(1)[:, None, None].clamp_min(1)
        part_BPD = torch.where(covered_BP1 > 1e-6, part_BPD, mean_B1D)
        return self.linear(part_BPD.flatten(1)) * mask_BN.any(dim=1, keepdim=True)

    def _shares(self, count: int, like: Tensor) -> Tensor:
        """(P, N): how much of each token's stretch lies in each part; rows sum to 1."""
        edge_N = torch.arange(count, device=like.device) / count
        edge_P = torch.arange(self.parts, device=like.device)[:, None] / self.parts
        upper = torch.minimum(edge_N + 1 / count, edge_P + 1 / self.parts)
        overlap_PN = (upper - torch.maximum(edge_N, edge_P)).clamp_min(0)
        return (overlap_PN * self.parts).to(like.dtype)
