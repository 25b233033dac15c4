"""A few learned tokens out of many.

Shape legend: V = rows, N = tokens, K = learned tokens, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError


class TokenLearner(nn.Module):
    """K weighted means of the tokens (Ryoo et al. 2021), in the form that Wukong (Gu et al. 2022) reduces images with:
    token_j = sum_n softmax_n(a_j(x))_n f(x_n), a and f token-wise maps of the normalised tokens.

    (V, N, D) and mask (V, N), True = real, or None -> (V, K, D). Padding has weight 0; a row of it alone gives zeros.
    """

    def __init__(self, *, width: int, tokens: int = 12, groups: int = 8, dropout: float = 0.0) -> None:
        """tokens: K (12 for ViT-B/32, 24 for ViT-L/14). groups: of the first map of the scores and of the features,
        a divisor of width (the published number is unconfirmed)."""
        super().__init__()
        if tokens < 1 or groups < 1 or width % groups:
            raise ConfigError(
                f"TokenLearner: width {width}, tokens {tokens}, groups {groups}; tokens must be positive and groups a "
                "divisor of width"
            )
        self.norm = nn.LayerNorm(width)
        self.score = nn.Sequential(
            nn.Conv1d(width, width, 1, groups=groups, bias=False), nn.Conv1d(width, tokens, 1, bias=False)
        )
        self.feature = nn.Conv1d(width, width, 1, groups=groups, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_VND: Tensor, mask_VN: Tensor | None = None) -> Tensor:
        if mask_VN is not None:
            x_VND = x_VND.masked_fill(~mask_VN[..., None], 0)  # a weight of 0 times a NaN would be a NaN
        x_VDN = self.norm(x_VND).transpose(1, 2)
        score_VKN = self.score(x_VDN).float()
        if mask_VN is not None:
            score_VKN = score_VKN.masked_fill(~mask_VN[:, None], torch.finfo(torch.float32).min)
        weight_VKN = score_VKN.softmax(-1).to(x_VDN.dtype)
        if mask_VN is not None:
            weight_VKN = weight_VKN * mask_VN[:, None]
        return self.dropout(torch.bmm(weight_VKN, self.feature(x_VDN).transpose(1, 2)))
