"""Random cards and small matchers, double precision."""

from __future__ import annotations

import torch

from domains.molecules.linking import BidirectionalCross, CrossModal, IntraModal, LevelMatcher
from domains.molecules.linking.card import Card, Seen

A, D, C, H, DIM = 5, 6, 4, 3, 4  # widths: text vector, text tokens, picture vector, picture tokens, inside


def card(rows: int, *, tokens: int = 4, patches: int = 3, seed: int = 0, padded: int = 0) -> Card:
    """padded: the last tokens of every second row are padding."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    mask = torch.ones(rows, tokens, dtype=torch.bool)
    mask[::2, tokens - padded :] = False
    real = torch.ones(rows, patches, dtype=torch.bool)
    return Card(draw(rows, A), draw(rows, tokens, D), mask, draw(rows, C), draw(rows, patches, H), real, real.any(1))


def levels(*, cross: type = CrossModal, seed: int = 1) -> dict:
    torch.manual_seed(seed)
    whole = cross is BidirectionalCross  # which reads vectors and tokens by one map: they are of one width
    text, shown = (D, H) if whole else (A, H)
    return {
        "text": IntraModal(reads="text", cls_width=D if whole else A, token_width=D, dim=DIM).double(),
        "picture": IntraModal(reads="picture", cls_width=H if whole else C, token_width=H, dim=DIM).double(),
        "cross": cross(text_width=text, picture_width=shown, dim=DIM).double(),
    }


def matcher(*, cross: type = CrossModal, picture: int = 7, block_floats: int = 2**24, seed: int = 1) -> LevelMatcher:
    whole = cross is BidirectionalCross
    return LevelMatcher(
        levels=levels(cross=cross, seed=seed), text_cls=D if whole else A, text=D, picture_cls=H if whole else C,
        picture=picture, picture_dim=H, block_floats=block_floats,
    ).double()  # fmt: skip


def seen(rows: int, *, pictured: list[int], tokens: int = 4, picture: int = 7, patches: int = 3, seed: int = 0,
         text_cls: int = A, picture_cls: int = C) -> Seen:  # fmt: skip
    """pictured: rows that have one."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    has = torch.zeros(rows, dtype=torch.bool)
    has[pictured] = True
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    mask[0, -1] = False
    cls, text = draw(rows, text_cls), draw(rows, tokens, D)
    n = len(pictured)
    shown = (draw(n, picture_cls), draw(n, patches, picture)) if n else (None, None)
    return Seen(cls, text, mask, *shown, has)
