"""Decoders that tell a text from a context: heads of a model, so that saved models can caption.

Shape legend: V = rows, T = ids, M = tokens of the context, D, C = widths of the words and of the context, W = width of
the decoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.errors import ConfigError, DataError, nearest
from core.models.codebook import FromModel, HasEncoders
from core.nn import DecoderBlock, LearnedPositions, init_transformer
from core.types import Tokens


class TextDecoder(nn.Module, ABC):
    """Causal blocks with attention to a context; state t tells the id t + 1.

    classes: linear map from states to logits of the vocabulary. reads_words: whether it starts from the states of a
    causal text encoder, (V, T, D), instead of its own embedding of the ids.
    """

    reads_words: bool
    classes: nn.Linear

    def __init__(self, *, width: int, depth: int, heads: int, vocab_size: int, context_width: int | None) -> None:
        super().__init__()
        if depth < 1:
            raise ConfigError(f"{type(self).__name__}: depth is {depth}; give at least 1")
        self.width = width
        self.blocks = nn.ModuleList(
            DecoderBlock(width=width, heads=heads, context_width=context_width, causal=True) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.classes = nn.Linear(width, vocab_size)

    @abstractmethod
    def enter(self, ids_VT: Tensor, words_VTD: Tensor | None) -> Tensor:
        """(V, T, W) before the first block."""

    def forward(self, ids_VT: Tensor, mask_VT: Tensor | None, words_VTD: Tensor | None, context: Tokens) -> Tensor:
        """(V, T, W). mask: True = real. context: (V, M, C) tokens; a row of it may be all padding."""
        x_VTW = self.enter(ids_VT, words_VTD)
        for block in self.blocks:
            x_VTW = block(x_VTW, context.x, mask_VT, context.mask)
        return self.norm(x_VTW)


class CaptionDecoder(TextDecoder):
    """CoCa's multimodal decoder: continues from the causal states of the text encoder (Yu et al. 2022)."""

    reads_words = True

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        vocab_size: int,
        input_width: int | None = None,
        context_width: int | None = None,
    ) -> None:
        """input_width: of the text encoder, context_width: of the image tokens; `width` when None."""
        super().__init__(width=width, depth=depth, heads=heads, vocab_size=vocab_size, context_width=context_width)
        self.input_width = width if input_width is None else input_width
        self.embed = nn.Linear(self.input_width, width)
        init_transformer(self)

    def enter(self, ids_VT: Tensor, words_VTD: Tensor | None) -> Tensor:
        assert words_VTD is not None  # `reads_words`
        if words_VTD.shape[-1] != self.input_width:
            raise ConfigError(
                f"CaptionDecoder: input_width is {self.input_width}, but the text encoder has width "
                f"{words_VTD.shape[-1]}"
            )
        return self.embed(words_VTD)


class WordDecoder(TextDecoder):
    """A language model on its own word embeddings that reads a context: image-grounded text generation (BLIP, Li 2022).

    max_length: largest T. context_width: of the image tokens, `width` when None.
    """

    reads_words = False

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        vocab_size: int,
        max_length: int = 128,
        context_width: int | None = None,
    ) -> None:
        super().__init__(width=width, depth=depth, heads=heads, vocab_size=vocab_size, context_width=context_width)
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        init_transformer(self)
        self.positions = LearnedPositions(grid=(max_length,), width=width)

    def enter(self, ids_VT: Tensor, words_VTD: Tensor | None) -> Tensor:
        if ids_VT.shape[1] > self.max_length:
            raise DataError(f"WordDecoder got {ids_VT.shape[1]} ids, it takes up to {self.max_length}")
        return self.token_embedding(ids_VT) + self.positions((self.max_length,))[: ids_VT.shape[1]]


class SharedWordDecoder(WordDecoder, FromModel):
    """A `WordDecoder` that reads words by the embedding of a text encoder of the same model, as the decoder of
    MatSci-NLP does (Song et al. 2023; without positions there).

    encoder: name of the encoder in `model.encoders`; its words must be as many and as wide as the decoder's.
    """

    def __init__(
        self,
        *,
        encoder: str,
        width: int,
        depth: int,
        heads: int,
        vocab_size: int,
        max_length: int = 128,
        context_width: int | None = None,
    ) -> None:
        super().__init__(
            width=width, depth=depth, heads=heads, vocab_size=vocab_size, max_length=max_length,
            context_width=context_width,
        )  # fmt: skip
        self.encoder = encoder

    def adopt(self, model: HasEncoders) -> None:
        if self.encoder not in model.encoders:
            raise ConfigError(f"SharedWordDecoder: encoder is '{self.encoder}'{nearest(self.encoder, model.encoders)}")
        table = getattr(model.encoders[self.encoder], "token_embedding", None)
        if not isinstance(table, nn.Embedding) or table.weight.shape != self.token_embedding.weight.shape:
            found = "none" if not isinstance(table, nn.Embedding) else f"{table.num_embeddings} x {table.embedding_dim}"
            raise ConfigError(
                f"SharedWordDecoder: needs a token_embedding of {self.token_embedding.num_embeddings} x "
                f"{self.width} (vocab_size x width) in encoder '{self.encoder}'; it has {found}"
            )
        self.token_embedding = table


@torch.no_grad()
def caption_greedily(decoder: WordDecoder, context: Tokens, *, start_id: int, end_id: int, length: int) -> Tensor:
    """(V, up to length) most probable next id, one after the other, for decoders that read ids alone.

    Begins with `start_id`; after `end_id` a row repeats it. Stops once every row has ended.
    """
    ids_VT = torch.full((len(context.x), 1), start_id, device=context.x.device)
    while ids_VT.shape[1] < length:
        next_V = decoder.classes(decoder(ids_VT, None, None, context)[:, -1]).argmax(-1)
        next_V = torch.where(ids_VT[:, -1] == end_id, end_id, next_V)
        ids_VT = torch.cat([ids_VT, next_V[:, None]], dim=1)
        if bool((next_V == end_id).all()):
            break
    return ids_VT
