"""Texts against texts, pictures against pictures: whole to whole, and whole to parts (M3EL, Hu et al. 2025).

Shape legend: M = mentions, G = entities, T = tokens of a mention, U = tokens of an entity, h = width inside, c = width
of the vectors that stand for a whole.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from domains.molecules.linking.card import Card
from domains.molecules.linking.levels.base import Level, Prepared

Reads = Literal["text", "picture"]
HIDDEN = -1e9  # added to the logits of padding


class IntraModal(Level):
    """(g2g + g2l) / 2. g2g = <mention, entity> of the whole vectors. g2l: the entity's tokens ask the mention's tokens;
    softmax(q k^T / sqrt h) v is averaged over the entity's tokens, layer-normed and multiplied with its vector.

    The average over the asking tokens is taken before the values come in, so a pair costs T * U numbers, not U * h.
    """

    def __init__(self, *, reads: Reads, cls_width: int, token_width: int, dim: int = 96) -> None:
        """reads: which half of a card. cls_width, token_width: of its vector and its tokens. dim: h."""
        super().__init__()
        if reads not in ("text", "picture"):
            raise ConfigError(f"IntraModal: reads is '{reads}'; valid: text, picture")
        self.reads, self.dim, self.needs_pictures = reads, dim, reads == "picture"
        self.query, self.key, self.value = (nn.Linear(token_width, dim) for _ in range(3))
        self.cls = nn.Linear(cls_width, dim)
        self.norm = nn.LayerNorm(dim)

    def _half(self, card: Card) -> tuple[Tensor, Tensor, Tensor]:
        if self.reads == "text":
            return card.text_cls, card.text, card.text_mask
        return card.picture_cls, card.picture, card.picture_mask

    def mention(self, card: Card) -> Prepared:
        cls_Mc, tokens_MTd, mask_MT = self._half(card)
        value_MTh = self.value(tokens_MTd) * mask_MT[..., None]  # padding weighs nothing, even where all is padding
        return cls_Mc, self.key(tokens_MTd), value_MTh, mask_MT

    def entity(self, card: Card) -> Prepared:
        cls_Gc, tokens_GUd, mask_GU = self._half(card)
        share_GU = mask_GU.to(tokens_GUd.dtype) / mask_GU.sum(dim=1, keepdim=True).clamp_min(1)
        return cls_Gc, self.query(tokens_GUd), share_GU, self.cls(cls_Gc)

    def scores(self, mention: Prepared, entity: Prepared) -> Tensor:
        (m_cls_Mc, key_MTh, value_MTh, mask_MT), (e_cls_Gc, query_GUh, share_GU, e_Gh) = mention, entity
        (mentions, t, h), (entities, u, _) = key_MTh.shape, query_GUh.shape
        # One more feature, 1 in queries and HIDDEN in keys of padding, masks within the product: no pass over all pairs
        query_GUk = torch.cat([query_GUh / math.sqrt(h), query_GUh.new_ones(entities, u, 1)], dim=2)
        hidden_MT1 = torch.zeros_like(key_MTh[..., :1]).masked_fill(~mask_MT[..., None], HIDDEN)
        key_MTk = torch.cat([key_MTh, hidden_MT1], dim=2)
        logits_GUMT = (query_GUk.flatten(0, 1) @ key_MTk.flatten(0, 1).T).view(entities, u, mentions, t)
        weight_GMT = torch.bmm(share_GU[:, None], logits_GUMT.softmax(dim=-1).view(entities, u, -1))
        weight_GMT = weight_GMT.view(entities, mentions, t)
        context_MGh = torch.bmm(weight_GMT.transpose(0, 1), value_MTh)
        g2l_MG = (self.norm(context_MGh) * e_Gh).sum(dim=-1)
        return ((m_cls_Mc @ e_cls_Gc.T + g2l_MG) / 2)[None]

    def floats_per_pair(self, mention: Prepared, entity: Prepared) -> int:
        return 2 * mention[1].shape[1] * entity[1].shape[1] + 2 * self.dim
