"""Telling a text from another modality, word by word (CoCa, Yu et al. 2022; BLIP's image-grounded generation).

Shape legend: V = rows of a modality, n = rows that hold both, T = ids, M = words to tell, N = tokens of the context,
Q = learned queries, C = width of the context.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.text_decoder import TextDecoder
from core.nn import QueryPool
from core.objectives.base import Step, Term
from core.objectives.tokens.sources import select, tokens_of
from core.objectives.tokens.vocabulary import Classes, hard_cross_entropy
from core.objectives.views import View, Viewed
from core.types import Tokens


class Context(nn.Module, ABC):
    """What a caption is told from."""

    @abstractmethod
    def tokens(self, step: Step, modality: str) -> Tokens:
        """(V, N, C) of the clean forward."""


class EncoderContext(Context):
    """All tokens of the modality's encoder."""

    def tokens(self, step: Step, modality: str) -> Tokens:
        return tokens_of(step.encoded(modality), modality)


class QueryContext(Context):
    """What the learned queries of a `QueryPool` among the model's heads read from the encoder's tokens.

    first: queries in front that are left out because a `Query` view reads them (1 where the first is the vector that a
    contrastive term compares).
    """

    def __init__(self, *, head: str, first: int = 0) -> None:
        super().__init__()
        if first < 0:
            raise ConfigError(f"QueryContext: first is {first}; give 0 or more")
        self.head, self.first = head, first

    def tokens(self, step: Step, modality: str) -> Tokens:
        return Tokens(x=queries_of(step, modality, self.head)[:, self.first :])


class Query(View):
    """(V, E) what one learned query of a `QueryPool` among the model's heads reads; its width is the space compared.

    The other queries may be the context of a caption: both share the forward.
    """

    def __init__(self, *, modality: str, head: str, index: int = 0) -> None:
        super().__init__()
        self.modality, self.head, self.index = modality, head, index

    def forward(self, step: Step) -> Viewed:
        return Viewed(queries_of(step, self.modality, self.head)[:, self.index])


def queries_of(step: Step, modality: str, head: str) -> Tensor:
    """(V, Q, E), once per step."""

    def run() -> Tensor:
        pool = step.head(head)
        if not isinstance(pool, QueryPool):
            raise ConfigError(f"model.heads.{head} is a {type(pool).__name__}, expected a core.nn.QueryPool")
        tokens = tokens_of(step.encoded(modality), modality)
        return pool(tokens.x, tokens.mask)

    return step.memo(("queries", modality, head), run)


class Captioning(Term):
    """Cross entropy of each next word given those before it and the context, in nats per word, float32 or finer.

    Position t tells word t + 1: the first id (a start token) is never told, an end token that is among the ids is.
    Padding is neither told nor seen. Values: "loss", "accuracy". Nothing to tell: an exact 0 with a graph.
    """

    def __init__(
        self, *, text: str, image: str, head: str, context: Context | None = None, name: str | None = None
    ) -> None:
        """text, image: modalities, what is told and from what. head: name of a `TextDecoder` among the model's heads.
        context: `EncoderContext` when None."""
        super().__init__()
        self.text, self.image, self.head_name = text, image, head
        self.context = EncoderContext() if context is None else context
        self.name = f"caption_{text}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        text_rows, image_rows, _ = step.paired_rows(self.text, self.image)
        if len(text_rows) == 0:
            return {"loss": step.zero()}
        inp = step.input(self.text).rows(text_rows)
        real_nT = torch.ones_like(inp.x, dtype=torch.bool) if inp.mask is None else inp.mask
        told_nT = real_nT[:, 1:] & real_nT[:, :-1]
        if not told_nT.any():
            return {"loss": step.zero()}
        decoder = self._decoder(step)
        words = self._words(step, text_rows, inp.x.shape[1]) if decoder.reads_words else None
        context = select(self.context.tokens(step, self.image), image_rows)
        states_nTW = decoder(inp.x, inp.mask, words, context)
        loss_M, hit_M = hard_cross_entropy(
            states_nTW[:, :-1][told_nT], Classes.of(decoder.classes), inp.x[:, 1:][told_nT]
        )
        return {"loss": loss_M.mean(), "accuracy": hit_M.float().mean()}

    def _decoder(self, step: Step) -> TextDecoder:
        found = step.head(self.head_name)
        if not isinstance(found, TextDecoder):
            raise ConfigError(
                f"term '{self.name}': model.heads.{self.head_name} is a {type(found).__name__}, expected a TextDecoder "
                "such as core.models.CaptionDecoder"
            )
        return found

    def _words(self, step: Step, rows_n: Tensor, length: int) -> Tensor:
        """(n, T, D) states of the ids: the last T tokens, behind whatever the encoder puts in front."""
        encoder = step.model.encoders[step.model.reads[self.text]]
        if not getattr(encoder, "causal", False):
            raise ConfigError(
                f"term '{self.name}': the encoder of '{self.text}' is not causal, so its states already hold the words "
                "that are to be told; use core.encoders.CaptionTextTransformer, TextTransformer with causal: true, or "
                "core.models.WordDecoder as head"
            )
        x_VND = tokens_of(step.encoded(self.text), self.text).x[rows_n]
        return x_VND[:, x_VND.shape[1] - length :]
