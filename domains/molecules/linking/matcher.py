"""All levels together: how well each mention fits each entity.

Shape legend: V = rows, M = mentions, G = entities, S = scores of all levels, P = picture tokens, A, D, C, H = widths of
a card, see `card`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.errors import ConfigError
from domains.molecules.linking.card import Card, Seen
from domains.molecules.linking.levels.base import Level, Prepared

Side = dict[str, Prepared]
BLOCK_FLOATS = 2**24  # numbers that the pairs of a block may need at once: 64 MB of float32


class LevelMatcher(nn.Module):
    """Layer norms of both sides' vectors and tokens, then the levels; the overall score is the mean of all scores.

    A side without a picture gets a learned vector and token in its place, the same for all, so that scores of entities
    with and without a picture can be compared. (The release shows its encoder a black picture instead.)
    Computed in float32 or finer.
    """

    def __init__(
        self,
        *,
        levels: dict[str, Level],
        text_cls: int,
        text: int,
        picture_cls: int,
        picture: int,
        picture_dim: int | None = None,
        block_floats: int = BLOCK_FLOATS,
    ) -> None:
        """text_cls, text, picture_cls, picture: widths A, D, C of what the model projects and encodes, and of the
        picture encoder's tokens. picture_dim: H, those tokens after a linear map (None: as wide as picture_cls).
        block_floats: numbers that exist at once while pairs are scored; blocks are cut along both sides."""
        super().__init__()
        if not levels or block_floats < 1:
            raise ConfigError(
                f"LevelMatcher: {len(levels)} levels and block_floats {block_floats}; both must be positive"
            )
        dim = picture_cls if picture_dim is None else picture_dim
        self.levels = nn.ModuleDict(levels)
        self.picture_tokens = nn.Linear(picture, dim)
        self.absent_cls = nn.Parameter(nn.init.trunc_normal_(torch.empty(picture_cls), std=0.02))
        self.absent_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(dim), std=0.02))
        widths = {"text_cls": text_cls, "text": text, "picture_cls": picture_cls, "picture": dim}
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name, width in widths.items()})
        self.block_floats = block_floats

    @property
    def names(self) -> list[str]:
        """One per score, in order."""
        return [f"{name}_{part}" if part else name for name, level in self._levels() for part in level.names]

    def needs_pictures(self) -> list[bool]:
        """One per score."""
        return [level.needs_pictures for _, level in self._levels() for _ in level.names]

    def _levels(self) -> Iterator[tuple[str, Level]]:
        for name, level in self.levels.items():
            assert isinstance(level, Level)
            yield name, level

    def card(self, seen: Seen) -> Card:
        """What the levels read of V rows."""
        precise = torch.promote_types(seen.text_cls.dtype, torch.float32)
        pictured_V = seen.pictured
        with torch.autocast(seen.text_cls.device.type, enabled=False):
            tokens = 1 if seen.picture is None else seen.picture.shape[1]
            cls_VC = self.absent_cls.to(precise).expand(len(pictured_V), -1)
            first = self.absent_token.to(precise)
            picture_VPH = torch.cat([first[None], first.new_zeros(tokens - 1, len(first))]).expand(
                len(pictured_V), -1, -1
            )
            mask_VP = torch.arange(tokens, device=pictured_V.device).expand(len(pictured_V), -1) == 0
            if seen.picture is not None and seen.picture_cls is not None:
                row_V = (pictured_V.long().cumsum(0) - 1).clamp_min(0)
                cls_VC = torch.where(pictured_V[:, None], seen.picture_cls.to(precise)[row_V], cls_VC)
                shown_VPH = self.picture_tokens(seen.picture.to(precise))[row_V]
                picture_VPH = torch.where(pictured_V[:, None, None], shown_VPH, picture_VPH)
                mask_VP = mask_VP | pictured_V[:, None]
            return Card(
                text_cls=self.norms["text_cls"](seen.text_cls.to(precise)),
                text=self.norms["text"](seen.text.to(precise)),
                text_mask=seen.text_mask,
                picture_cls=self.norms["picture_cls"](cls_VC),
                picture=self.norms["picture"](picture_VPH),
                picture_mask=mask_VP,
                pictured=pictured_V,
            )

    def mentions(self, card: Card) -> Side:
        with torch.autocast(card.text_cls.device.type, enabled=False):
            return {name: level.mention(card) for name, level in self._levels()}

    def entities(self, card: Card) -> Side:
        with torch.autocast(card.text_cls.device.type, enabled=False):
            return {name: level.entity(card) for name, level in self._levels()}

    def forward(self, mentions: Side, entities: Side) -> Tensor:
        """(S, M, G) of prepared sides. Blocks of pairs are scored one after the other and, where gradients are wanted,
        scored again on the way back, so that memory grows with S * M * G and not with the tokens of the pairs."""
        found = []
        for name, level in self._levels():
            with torch.autocast(mentions[name][0].device.type, enabled=False):
                found.append(self._scores(level, mentions[name], entities[name]))
        return torch.cat(found)

    def _scores(self, level: Level, mention: Prepared, entity: Prepared) -> Tensor:
        m, g = len(mention[0]), len(entity[0])
        rows, cols = _block(m, g, level.floats_per_pair(mention, entity), self.block_floats)
        if rows >= m and cols >= g:
            return level.scores(mention, entity)
        bands = []
        for i in range(0, m, rows):
            row = tuple(x[i : i + rows] for x in mention)
            band = [self._again(level, row, tuple(x[j : j + cols] for x in entity)) for j in range(0, g, cols)]
            bands.append(torch.cat(band, dim=2))
        return torch.cat(bands, dim=1)

    def _again(self, level: Level, mention: Prepared, entity: Prepared) -> Tensor:
        if not torch.is_grad_enabled():
            return level.scores(mention, entity)
        return checkpoint(level.scores, mention, entity, use_reentrant=False)


def overall(scores_SMG: Tensor) -> Tensor:
    """(M, G), the mean of all scores."""
    return scores_SMG.mean(dim=0)


def joined(parts: list[Side]) -> Side:
    """Sides one behind the other; tokens are padded to the longest."""
    return {
        name: tuple(_cat([part[name][i] for part in parts]) for i in range(len(parts[0][name]))) for name in parts[0]
    }


def _cat(parts: list[Tensor]) -> Tensor:
    """Along rows; a second axis of different lengths is filled up with zeros (False)."""
    if parts[0].ndim == 1 or len({x.shape[1] for x in parts}) == 1:
        return torch.cat(parts)
    longest = max(x.shape[1] for x in parts)
    out = parts[0].new_zeros(sum(len(x) for x in parts), longest, *parts[0].shape[2:])
    at = 0
    for x in parts:
        out[at : at + len(x), : x.shape[1]] = x
        at += len(x)
    return out


def _block(m: int, g: int, per_pair: int, floats: int) -> tuple[int, int]:
    """Rows and columns of a block within the budget, as square as may be."""
    pairs = max(1, floats // max(per_pair, 1))
    rows, cols = m, g
    while rows * cols > pairs and rows * cols > 1:
        rows, cols = (rows, (cols + 1) // 2) if cols >= rows else ((rows + 1) // 2, cols)
    return max(1, rows), max(1, cols)
