"""Facts and sentences as token ids of one vocabulary, with the role and the fact of every token.

Shape legend: V = rows, T = tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.multilingual import train_multilingual_tokenizer
from core.data.processor import Sample
from core.data.text import CLS, NO_WORD, SEP, TextProcessor, text_id
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.molecules.facts.fact import Statement, read_statement
from domains.molecules.facts.linear import MARKERS, Segment, Structure, line, segments
from domains.molecules.facts.script import to_devanagari

Script = Literal["native", "devanagari"]
ROLE, FACT = "roles", "facts"


class FactProcessor(TextProcessor):
    """[CLS] facts as a line [SEP]; extra `roles` and `facts`, (V, T) int64, 0 for what has none.

    structure, sort: as in `segments`. ascii_only: the published folding of names to ASCII, which loses names in other
    scripts; off. script: of the sentences that the vocabulary is learned from, as in `SentenceProcessor`.
    """

    not_in_load: ClassVar[frozenset[str]] = TextProcessor.not_in_load | {"script"}

    def __init__(
        self,
        *,
        vocab_size: int = 2048,
        max_length: int = 250,
        min_frequency: int = 2,
        structure: Structure = "grouped",
        sort: bool = True,
        ascii_only: bool = False,
        script: Script = "native",
        of: str = "",
    ) -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        if structure not in ("grouped", "flat"):
            raise ConfigError(f"structure: is '{structure}'; valid: grouped, flat")
        check_script(script)
        self.structure, self.sort, self.ascii_only, self.script = structure, sort, ascii_only, script

    def segments(self, statement: Statement) -> list[Segment]:
        return segments(statement, structure=self.structure, sort=self.sort, ascii_only=self.ascii_only)

    def fit(self, sources: Iterable[Any]) -> None:
        """Train the tokenizer on lines of facts and on their sentences."""
        texts = []
        for source in sources:
            try:
                statement = read_statement(source)
                texts += [f" {part.text}" for part in self.segments(statement)]
                texts.append(f" {sentence_of(statement, self.script)}")
            except DataError:  # `load` will name it, and the bad-record policy decides
                continue
        self._tokenizer = train_multilingual_tokenizer(
            texts, vocab_size=self.vocab_size, min_frequency=self.min_frequency, markers=list(MARKERS)
        )

    def text(self, source: Any) -> str:
        return line(self.segments(read_statement(source)))

    def load(self, source: Any) -> Sample:
        parts = self.segments(read_statement(source))
        ids, roles, facts = [CLS], [0], [0]
        for part in parts:
            own = self.tokenizer.encode(f"{part.marker} {part.text}", add_special_tokens=False).ids
            ids += own
            roles += [part.role] * len(own)
            facts += [part.fact] * len(own)
        kept = self.max_length - 1
        return {
            "ids": np.array([*ids[:kept], SEP], np.int32),
            "word_ids": np.full(min(len(ids), kept) + 1, NO_WORD, np.int32),
            "dropped": np.array(max(0, len(ids) - kept), np.int32),
            "text_id": np.array(text_id(line(parts)), np.int64),
            ROLE: np.array([*roles[:kept], 0], np.int32),
            FACT: np.array([*facts[:kept], 0], np.int32),
        }

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        inp = super().collate(samples)
        for name in (ROLE, FACT):
            out_VT = torch.zeros_like(inp.x)
            for row, sample in enumerate(samples):
                out_VT[row, : len(sample[name])] = torch.from_numpy(np.array(sample[name], np.int64))
            inp.extra[name] = out_VT
        return inp


class SentenceProcessor(TextProcessor):
    """The sentence that tells the facts. of: the modality of the facts, whose vocabulary it shares.

    script: "devanagari" writes Indic scripts in Devanagari, so that they share letters; `native` undoes it.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 2048,
        max_length: int = 200,
        min_frequency: int = 2,
        script: Script = "native",
        of: str,
    ) -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        check_script(script)
        self.script = script

    def text(self, source: Any) -> str:
        return f" {sentence_of(read_statement(source), self.script)}"

    def shown_text(self, source: Any) -> str:
        return read_statement(source).sentence


def sentence_of(statement: Statement, script: Script) -> str:
    sentence = " ".join(statement.sentence.split())
    return to_devanagari(sentence, statement.language) if script == "devanagari" else sentence


def check_script(script: str) -> None:
    if script not in ("native", "devanagari"):
        raise ConfigError(f"script: is '{script}'; valid: native, devanagari")
