"""Captions to token ids: several sentences about one place, in one or more languages, of which a step sees one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.data.processor import Sample
from core.data.text import TextProcessor, text_id
from core.errors import ConfigError

SEPARATOR = "\t"  # between the language and the text of a line


def caption_lines(text: str) -> list[tuple[str, str]]:
    """(language, caption) of a source: one caption per line, a language code and a tab in front; "" = not stated."""
    found = []
    for line in text.splitlines():
        language, tab, caption = line.partition(SEPARATOR)
        if not tab:
            language, caption = "", line
        if caption.strip():
            found.append((language.strip(), caption.strip()))
    return found


def caption_source(captions: Mapping[str, list[str]]) -> str:
    """The source of captions by language, one line each."""
    rows = [(language, " ".join(text.split())) for language, texts in captions.items() for text in texts]
    return "\n".join(f"{language}{SEPARATOR}{text}" for language, text in rows if text)


class CaptionProcessor(TextProcessor):
    """Token ids of one of the captions: a random one in training, the first in evaluation (`which` says another).

    languages: those that are read, in order of preference, and lines that state none; a place without any of them lacks
    this modality. which: number of the caption that evaluation reads. Everything else is as in `TextProcessor`. The
    vocabulary is learned from all languages of the source, so a second processor with `of` can read another language.
    Besides that caption's tokens the sample holds those of all captions: `caption_ids`, `caption_words` (one after the
    other, int32), `caption_ends` (K,) int32, `caption_text_ids` (K,) int64, so that drawing needs no tokenizer.
    """

    not_in_load: ClassVar[frozenset[str]] = TextProcessor.not_in_load

    def __init__(
        self,
        *,
        vocab_size: int = 2048,
        max_length: int = 64,
        min_frequency: int = 2,
        languages: tuple[str, ...] = ("en",),
        which: int = 0,
        of: str = "",
    ) -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        if not languages or which < 0:
            raise ConfigError(f"languages {languages} names at least one, which {which} counts from 0")
        self.languages, self.which = tuple(languages), which

    def text(self, source: str | Path) -> str:
        """All captions of all languages, as the tokenizer is trained on them."""
        return "\n".join(caption for _, caption in caption_lines(super().text(source)))

    def captions(self, source: str | Path) -> list[str]:
        """The captions of a source that this processor reads, by language and then in their order."""
        lines = caption_lines(super().text(source))
        return [caption for wanted in (*self.languages, "") for language, caption in lines if language == wanted]

    def shown_text(self, source: str | Path) -> str:
        captions = self.captions(source)
        return captions[min(self.which, len(captions) - 1)] if captions else ""

    def load(self, source: Any) -> Sample:
        captions = self.captions(source)
        if not captions:
            return {}
        pieces = [self.pieces(caption) for caption in captions]
        first = min(self.which, len(captions) - 1)
        return {
            **self.assemble(*pieces[first], identity=text_id(captions[first])),
            "caption_ids": np.concatenate([ids for ids, _ in pieces]),
            "caption_words": np.concatenate([words for _, words in pieces]),
            "caption_ends": np.cumsum([len(ids) for ids, _ in pieces], dtype=np.int32),
            "caption_text_ids": np.array([text_id(caption) for caption in captions], np.int64),
        }

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        ends = sample["caption_ends"]
        drawn = int(rng.integers(len(ends)))
        span = slice(int(ends[drawn - 1]) if drawn else 0, int(ends[drawn]))
        identity = int(sample["caption_text_ids"][drawn])
        return {
            **sample,
            **self.assemble(sample["caption_ids"][span], sample["caption_words"][span], identity=identity),
        }
