"""Descriptions of a molecule to token ids: several paragraphs say the same, of which a step sees one or two."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.data.processor import Sample
from core.data.text import TextProcessor, text_id
from core.errors import ConfigError

_STOP = re.compile(r"\.(?= \S)")


class WordingProcessor(TextProcessor):
    """Token ids of one paragraph of a text: a random one in training, the one numbered `which` in evaluation.

    A source is a text whose paragraphs are lines. sentences: in training, the share of the paragraph's sentences that
    a step may leave out at most (0 = none), in random order. Beside the tokens of the
    paragraph the sample holds those of all sentences of all paragraphs, so that drawing needs no tokenizer.
    """

    not_in_load: ClassVar[frozenset[str]] = TextProcessor.not_in_load | {"drop"}

    def __init__(
        self,
        *,
        vocab_size: int = 2048,
        max_length: int = 128,
        min_frequency: int = 2,
        which: int = 0,
        drop: float = 0.0,
        of: str = "",
    ) -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        if which < 0 or not 0 <= drop < 1:
            raise ConfigError(f"which is {which}, counted from 0; drop is {drop}, a share below 1")
        self.which, self.drop = which, drop

    def paragraphs(self, source: str | Path) -> list[str]:
        """The paragraphs of a source, in order."""
        return [line.strip() for line in super().text(source).splitlines() if line.strip()]

    def load(self, source: Any) -> Sample:
        paragraphs = self.paragraphs(source)
        if not paragraphs:
            return {}
        cut = [self._cut(paragraph) for paragraph in paragraphs]
        chosen = min(self.which, len(paragraphs) - 1)
        whole = (np.concatenate([part[side] for part in cut[chosen]]) for side in (0, 1))
        pieces = [part for paragraph in cut for part in paragraph]
        return {
            **self.assemble(*whole, identity=text_id(paragraphs[chosen])),
            "sentence_ids": np.concatenate([ids for ids, _ in pieces]),
            "sentence_words": np.concatenate([words for _, words in pieces]),
            "sentence_ends": np.cumsum([len(ids) for ids, _ in pieces], dtype=np.int32),
            "paragraph_ends": np.cumsum([len(paragraph) for paragraph in cut], dtype=np.int32),
            "paragraph_text_ids": np.array([text_id(paragraph) for paragraph in paragraphs], np.int64),
        }

    def _cut(self, paragraph: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Token ids and word ids of each sentence of a paragraph; words are numbered through the paragraph."""
        found = self.tokenizer.encode(paragraph, add_special_tokens=False)
        ids, words = np.array(found.ids, np.int32), np.array(found.word_ids, np.int32)
        behind = np.array([end for _, end in found.offsets])
        ends = np.searchsorted(behind, sentence_ends(paragraph), side="right")
        parts = zip(np.split(ids, ends[:-1]), np.split(words, ends[:-1]), strict=True)
        return [part for part in parts if len(part[0])]

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        ends, paragraphs = sample["sentence_ends"], sample["paragraph_ends"]
        drawn = int(rng.integers(len(paragraphs)))
        first = int(paragraphs[drawn - 1]) if drawn else 0
        members = np.arange(first, int(paragraphs[drawn]))
        kept = len(members) - int(rng.integers(int(self.drop * len(members)) + 1))
        order = rng.permutation(members)[:kept]
        spans = [slice(int(ends[i - 1]) if i else 0, int(ends[i])) for i in order]
        words = [sample["sentence_words"][span] for span in spans]
        words = [part - part[0] for part in words]
        shift = np.cumsum([0, *(int(part[-1]) + 1 for part in words[:-1])])
        made = self.assemble(
            np.concatenate([sample["sentence_ids"][span] for span in spans]),
            np.concatenate([part + add for part, add in zip(words, shift, strict=True)]),
            identity=int(sample["paragraph_text_ids"][drawn]),
        )
        return {**sample, **made}


def sentence_ends(paragraph: str) -> list[int]:
    """Where the sentences of a paragraph end, in characters: behind a full stop before a space, and at its end."""
    return [*(found.end() for found in _STOP.finditer(paragraph)), len(paragraph)]
