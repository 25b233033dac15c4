"""Multi-head attention on torch's scaled dot product kernel, with key masks that never give NaN.

Shape legend: B = rows, N = queries, M = keys, D = width, H = heads, K = width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError


def attend(
    q_BHNK: Tensor,
    k_BHMK: Tensor,
    v_BHMK: Tensor,
    mask_BM: Tensor | None = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(q k^T / sqrt(K)) v, (B, H, N, K). A query with no real key gives zeros (Vaswani et al. 2017, eq. 1).

    mask_BM: bool, True = real key; or (B, N, M), True = query n may see key m. causal: query n sees keys 0..n (N and M
    must be equal).
    """
    if q_BHNK.shape[-2] == 0 or k_BHMK.shape[-2] == 0:
        return torch.zeros_like(q_BHNK)
    if mask_BM is None:
        return F.scaled_dot_product_attention(q_BHNK, k_BHMK, v_BHMK, dropout_p=dropout, is_causal=causal)
    allowed = mask_BM[:, None, None, :] if mask_BM.ndim == 2 else mask_BM[:, None]
    if causal:
        past_NM = torch.ones(q_BHNK.shape[-2], k_BHMK.shape[-2], dtype=torch.bool, device=mask_BM.device).tril()
        allowed = allowed & past_NM
    # A softmax over nothing is NaN: such a query is let see everything, and its result is then set to zero.
    some = allowed.any(dim=-1, keepdim=True)
    out = F.scaled_dot_product_attention(q_BHNK, k_BHMK, v_BHMK, attn_mask=allowed | ~some, dropout_p=dropout)
    return out.masked_fill(~some, 0.0)


def attention_weights(q_BHNK: Tensor, k_BHMK: Tensor, mask_BM: Tensor | None = None) -> Tensor:
    """(B, H, N, M) float32: what `attend` weighs values with, for pictures; rows without a real key are zeros."""
    score = q_BHNK.float() @ k_BHMK.float().transpose(-1, -2) / q_BHNK.shape[-1] ** 0.5
    if mask_BM is None:
        return score.softmax(dim=-1)
    allowed = mask_BM[:, None, None, :] if mask_BM.ndim == 2 else mask_BM[:, None]
    weight = score.masked_fill(~allowed, torch.finfo(score.dtype).min).softmax(dim=-1)
    return weight.masked_fill(~allowed, 0.0)


def check_heads(width: int, heads: int, who: str) -> None:
    """Raise ConfigError unless `heads` divides `width`."""
    if width < 1 or heads < 1 or width % heads != 0:
        raise ConfigError(f"{who}: width {width} cannot be split into {heads} heads; give a width that heads divides")


def _split(x_BND: Tensor, heads: int) -> Tensor:
    return x_BND.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge(x_BHNK: Tensor) -> Tensor:
    return x_BHNK.transpose(1, 2).flatten(-2)


class SelfAttention(nn.Module):
    """Multi-head self-attention, one projection for query, key and value. Raises ConfigError if heads do not fit."""

    def __init__(self, *, width: int, heads: int, dropout: float = 0.0, causal: bool = False) -> None:
        super().__init__()
        check_heads(width, heads, type(self).__name__)
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """x_BND, mask_BN bool (True = real), or (B, N, N) of what each token may see -> (B, N, D)."""
        q, k, v = (_split(part, self.heads) for part in self.qkv(x_BND).chunk(3, dim=-1))
        dropout = self.dropout if self.training else 0.0
        return self.out(_merge(attend(q, k, v, mask_BN, causal=self.causal, dropout=dropout)))

    def weights(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """(B, H, N, N) float32, what each token looks at; for pictures. Not for causal attention."""
        q, k, _ = (_split(part, self.heads) for part in self.qkv(x_BND).chunk(3, dim=-1))
        return attention_weights(q, k, mask_BN)


class CrossAttention(nn.Module):
    """Multi-head attention of one sequence on another. Raises ConfigError if heads do not fit.

    context_width: width of the attended sequence, `width` when None.
    """

    def __init__(self, *, width: int, heads: int, context_width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(width, heads, type(self).__name__)
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width if context_width is None else context_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BND: Tensor, context_BMD: Tensor, mask_BM: Tensor | None = None) -> Tensor:
        """x_BND asks, context_BMD answers, mask_BM bool (True = real) or (B, N, M) -> (B, N, D)."""
        q = _split(self.query(x_BND), self.heads)
        k, v = (_split(part, self.heads) for part in self.key_value(context_BMD).chunk(2, dim=-1))
        dropout = self.dropout if self.training else 0.0
        return self.out(_merge(attend(q, k, v, mask_BM, dropout=dropout)))

    def weights(self, x_BND: Tensor, context_BMD: Tensor, mask_BM: Tensor | None = None) -> Tensor:
        """(B, H, N, M) float32, what each token of x looks at in the context; for pictures."""
        q = _split(self.query(x_BND), self.heads)
        k = _split(self.key_value(context_BMD).chunk(2, dim=-1)[0], self.heads)
        return attention_weights(q, k, mask_BM)
