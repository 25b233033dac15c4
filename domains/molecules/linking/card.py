"""One side of a pair to be matched: what is written and shown about a mention, or about an entity.

Shape legend: V = rows, T = text tokens, P = picture tokens, A, D = widths of the text's vector and tokens, C, H =
widths of the picture's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import StepModel
from core.types import Encoded, ModalityInput


@dataclass(frozen=True, slots=True)
class Card:
    """text_cls (V, A), text (V, T, D) with text_mask (V, T), picture_cls (V, C), picture (V, P, H) with picture_mask
    (V, P), True = real; pictured (V,): whether the row has a picture of its own."""

    text_cls: Tensor
    text: Tensor
    text_mask: Tensor
    picture_cls: Tensor
    picture: Tensor
    picture_mask: Tensor
    pictured: Tensor

    def __len__(self) -> int:
        return len(self.text_cls)


@dataclass(frozen=True, slots=True)
class Seen:
    """What encoders made of V rows. picture_cls, picture: of the rows in `pictured` only, None where there is none."""

    text_cls: Tensor
    text: Tensor
    text_mask: Tensor
    picture_cls: Tensor | None
    picture: Tensor | None
    pictured: Tensor

    @classmethod
    def of(
        cls,
        text_cls: Tensor,
        text: Encoded,
        pictures: tuple[Tensor, Encoded] | None,
        pictured_V: Tensor,
    ) -> Seen:
        """pictures: vector and encoding of those that there are. Raises ConfigError for encoders without tokens."""
        tokens = text.tokens
        if tokens is None or (pictures is not None and pictures[1].tokens is None):
            raise ConfigError("entity linking matches tokens; use encoders that give some, such as TextTransformer")
        mask_VT = tokens.mask
        if mask_VT is None:
            mask_VT = torch.ones(tokens.x.shape[:2], dtype=torch.bool, device=tokens.x.device)
        if pictures is None:
            return cls(text_cls, tokens.x, mask_VT, None, None, pictured_V)
        shown = pictures[1].tokens
        assert shown is not None
        return cls(text_cls, tokens.x, mask_VT, pictures[0], shown.x, pictured_V)

    @classmethod
    def by(
        cls,
        model: StepModel,
        text: str,
        picture: str,
        text_input: ModalityInput,
        picture_input: ModalityInput | None,
        pictured_V: Tensor,
    ) -> Seen:
        """V rows through the encoders of a model; `picture_input` holds those of `pictured_V`."""
        written = model.encode(text, text_input)
        shown = None
        if picture_input is not None and len(picture_input):
            found = model.encode(picture, picture_input)
            shown = model.project(picture, found), found
        return cls.of(model.project(text, written), written, shown, pictured_V)
