"""Texts against pictures, within each side first: what a side says of its picture is one vector (M3EL, Hu et al. 2025).

Shape legend: V = rows, T, P = tokens of text and picture, h = width inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from domains.molecules.linking.card import Card
from domains.molecules.linking.levels.attention import TEMPERATURES, CrossAttention, TemperaturePool
from domains.molecules.linking.levels.base import Level, Prepared


class _Gated(nn.Module):
    """LayerNorm(tanh(w . x) x + context)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate, self.norm = nn.Linear(dim, 1), nn.LayerNorm(dim)

    def forward(self, x_Vh: Tensor, context_Vh: Tensor) -> Tensor:
        return self.norm(self.gate(x_Vh).tanh() * x_Vh + context_Vh)


class CrossModal(Level):
    """The text's vector looks at the patches, the patches at it; both are mixed by f = sigmoid(W t + W v), one W, and
    gated onto the text's vector. The score is the product of both sides' vectors ("cmm")."""

    def __init__(
        self,
        *,
        text_width: int,
        picture_width: int,
        dim: int = 96,
        temperatures: Sequence[float] = TEMPERATURES,
        share: float = 1.0,
    ) -> None:
        """text_width: of the text's vector. picture_width: of the patches. dim: h."""
        super().__init__()
        self.text, self.picture = nn.Linear(text_width, dim), nn.Linear(picture_width, dim)
        self.attend, self.pool = CrossAttention(dim=dim), TemperaturePool(temperatures=temperatures, share=share)
        self.mix, self.gated = nn.Linear(dim, dim), _Gated(dim)

    def mention(self, card: Card) -> Prepared:
        text_Vh, picture_VPh = self.text(card.text_cls), self.picture(card.picture)
        t_Vh = self.attend(text_Vh[:, None], picture_VPh, card.picture_mask)[:, 0]
        v_Vh = self.pool(self.attend(picture_VPh, text_Vh[:, None]), card.picture_mask)
        f_Vh = torch.sigmoid(self.mix(t_Vh) + self.mix(v_Vh))
        return (self.gated(text_Vh, f_Vh * t_Vh + (1 - f_Vh) * v_Vh),)


class BidirectionalCross(Level):
    """Both ways, with shared weights: text to picture, picture to text. What the vector saw and what saw it are pooled
    together, without the mixing gate ("cmmb"). Two scores."""

    names = ("text_to_picture", "picture_to_text")

    def __init__(
        self,
        *,
        text_width: int,
        picture_width: int,
        dim: int = 96,
        temperatures: Sequence[float] = TEMPERATURES,
        share: float = 1.0,
    ) -> None:
        """text_width: of the text's vector and tokens. picture_width: of the picture's. dim: h."""
        super().__init__()
        self.text, self.picture = nn.Linear(text_width, dim), nn.Linear(picture_width, dim)
        self.attend, self.pool = CrossAttention(dim=dim), TemperaturePool(temperatures=temperatures, share=share)
        self.gated = _Gated(dim)

    def mention(self, card: Card) -> Prepared:
        text = self.text(card.text_cls), self.text(card.text), card.text_mask
        picture = self.picture(card.picture_cls), self.picture(card.picture), card.picture_mask
        return self._context(text[0], *picture[1:]), self._context(picture[0], *text[1:])

    def _context(self, x_Vh: Tensor, tokens_VNh: Tensor, mask_VN: Tensor) -> Tensor:
        saw_V1h = self.attend(x_Vh[:, None], tokens_VNh, mask_VN)
        seen_VNh = self.attend(tokens_VNh, x_Vh[:, None])
        all_VKh, all_VK = torch.cat([saw_V1h, seen_VNh], dim=1), torch.cat([mask_VN.new_ones(len(x_Vh), 1), mask_VN], 1)
        return self.gated(x_Vh, self.pool(all_VKh, all_VK))
