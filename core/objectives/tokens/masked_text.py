"""Masked text modelling: predict hidden words of a text (Devlin et al. 2019, whole words).

Shape legend: V = rows, T = tokens, M = hidden tokens of all rows, D = width of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn import init_transformer
from core.objectives.base import Step, Term
from core.objectives.tokens.masking import corrupt_tokens, mask_words
from core.objectives.tokens.sources import FromEncoder, TokenSource
from core.objectives.tokens.vocabulary import Classes, hard_cross_entropy
from core.types import ModalityInput, Tokens


class WordHead(nn.Module):
    """Dense, GELU, layer norm, decoder: (M, D) -> (M, vocabulary) logits (Devlin et al. 2019)."""

    def __init__(self, *, width: int, vocab_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.decoder = nn.Linear(width, vocab_size)
        init_transformer(self)

    def states(self, x_MD: Tensor) -> Tensor:
        """(M, D): what `decoder` maps to logits."""
        return self.norm(F.gelu(self.dense(x_MD)))

    def forward(self, x_MD: Tensor) -> Tensor:
        return self.decoder(self.states(x_MD))


@dataclass(frozen=True, slots=True)
class HiddenWords:
    """One draw of the task. inp: the corrupted text. hidden: (V, T) bool. target: (M,) ids, in the order of hidden."""

    inp: ModalityInput
    hidden: Tensor
    target: Tensor


class MaskedText(Term):
    """Cross entropy of hidden words, in nats per hidden token, float32.

    Words come from `ModalityInput.extra["word_ids"]` (V, T), -1 for special tokens; without it every ordinary token
    is a word. Values: "loss", "accuracy" over hidden tokens. No row or no word: an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        modality: str,
        width: int,
        vocab_size: int,
        ratio: float = 0.15,
        mask_id: int = 4,
        special_tokens: int = 5,
        source: TokenSource | None = None,
        head: str | None = None,
        name: str | None = None,
    ) -> None:
        """width: D of the tokens of `source`. vocab_size: ids of the tokenizer. ratio: share of tokens that is hidden.
        mask_id: id of the mask token. special_tokens: ids below it are special, never hidden and never drawn.
        source: where tokens are read, the encoder's last layer when None. head: name of a `WordHead` among the model's
        heads, where a teacher or the saved model needs it; the term's own when None."""
        super().__init__()
        if not 0 <= ratio < 1:
            raise ConfigError(f"MaskedText: ratio is {ratio}; give a value in [0, 1), for instance 0.15")
        if not 0 <= mask_id < vocab_size or not 0 <= special_tokens < vocab_size:
            raise ConfigError(
                f"MaskedText: mask_id {mask_id} and special_tokens {special_tokens} must be below "
                f"vocab_size {vocab_size}"
            )
        self.modality, self.width, self.vocab_size, self.ratio = modality, width, vocab_size, ratio
        self.mask_id, self.special_tokens = mask_id, special_tokens
        self.head_name = head
        self.head = WordHead(width=width, vocab_size=vocab_size) if head is None else None
        self.source = FromEncoder() if source is None else source
        self.name = f"masked_{modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        rows = self.source.rows(step, self.modality)
        if len(rows) == 0:
            return {"loss": step.zero()}
        task = self.hide(step.input(self.modality).rows(rows), step.generator)
        if len(task.target) == 0:
            return {"loss": step.zero()}
        return self.errors(self.source.tokens(step, self.modality, task.inp), task, self.word_head(step))

    def word_head(self, step: Step) -> WordHead:
        """The term's own head, or the one of the step's model. Raises ConfigError when that is no `WordHead`."""
        found = self.head if self.head_name is None else step.head(self.head_name)
        if not isinstance(found, WordHead):
            raise ConfigError(
                f"term '{self.name}': model.heads.{self.head_name} is a {type(found).__name__}, expected a WordHead"
            )
        return found

    def hide(self, inp: ModalityInput, generator: torch.Generator) -> HiddenWords:
        """Draw which words of `inp` are hidden, and corrupt them."""
        words = inp.extra.get("word_ids")
        if words is None:
            words = torch.arange(inp.x.shape[1], device=inp.x.device).expand_as(inp.x)
        words = words.masked_fill(inp.x < self.special_tokens, -1)
        if inp.mask is not None:
            words = words.masked_fill(~inp.mask, -1)
        if self.ratio == 0:
            hidden = torch.zeros_like(inp.x, dtype=torch.bool)
        else:
            hidden = mask_words(words, ratio=self.ratio, generator=generator)
        corrupted = corrupt_tokens(
            inp.x,
            hidden,
            mask_id=self.mask_id,
            first_ordinary=self.special_tokens,
            vocab_size=self.vocab_size,
            generator=generator,
        )
        return HiddenWords(replace(inp, x=corrupted), hidden, inp.x[hidden])

    def errors(self, tokens: Tokens, task: HiddenWords, head: WordHead | None = None) -> dict[str, Tensor]:
        """Loss and accuracy from the tokens (V, T, D) of the corrupted text. head: the term's own when None."""
        head = self.head if head is None else head
        assert head is not None  # `forward` gives it
        self.check_width(tokens)
        loss_M, hit_M = hard_cross_entropy(head.states(tokens.x[task.hidden]), Classes.of(head.decoder), task.target)
        return {"loss": loss_M.mean(), "accuracy": hit_M.float().mean()}

    def check_width(self, tokens: Tokens) -> None:
        if tokens.x.shape[-1] != self.width:
            raise ConfigError(
                f"term '{self.name}': width is {self.width}, but the tokens it reads have width "
                f"{tokens.x.shape[-1]}; set width to that"
            )
