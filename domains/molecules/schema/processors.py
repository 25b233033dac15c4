"""Questions and answers as token ids of one vocabulary.

Shape legend: T = tokens of the text, Q = tokens of the question.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.data.processor import Sample
from core.data.text import CLS, NO_WORD, SEP, TextProcessor, text_id
from core.errors import CheckpointError, ConfigError, DataError
from core.files import atomic_write
from domains.molecules.schema.prompt import Style, check_style, prompt_of, render
from domains.molecules.schema.question import Question, read_question

SCHEMA_FILE = "schema.json"
LABELS = "labels"  # the layout's table: inventory -> labels joined by commas


class PromptProcessor(TextProcessor):
    """[CLS] question [SEP] text [SEP]. A text that is too long is cut on both sides of the span asked about.

    style: what stands behind the question: "choices" all labels of its inventory, "schema" the types that go with it,
    "example" an answered question of the training split, or "none". max_length: of all ids; the question is never cut,
    and one without room for `least_text` ids of text is a DataError.
    """

    least_text: ClassVar[int] = 8

    def __init__(
        self, *, vocab_size: int = 2048, max_length: int = 128, min_frequency: int = 2, style: Style = "choices",
        of: str = "",
    ) -> None:  # fmt: skip
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        check_style(style)
        self.style = style
        self.labels: dict[str, tuple[str, ...]] = {}
        self.examples: dict[str, tuple[str, str]] = {}

    def read_tables(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        found = tables.get(LABELS, {})
        self.labels = {inventory: tuple(joined.split(",")) for inventory, joined in found.items()}

    def fit(self, sources: Iterable[Any]) -> None:
        """Train the tokenizer on prompts, texts, answers and labels; take an example of each inventory."""
        questions = []
        for source in sources:
            try:
                questions.append(read_question(source))
            except DataError:  # `load` will name it, and the bad-record policy decides
                continue
        self.examples = {}
        for question in questions:
            self.examples.setdefault(question.inventory, (question.span[:60], question.answer))
        texts = [part for q in questions for part in (self.prompt(q), q.text, q.answer)]
        super().fit([*texts, *(label for labels in self.labels.values() for label in labels)])

    def text(self, source: Any) -> str:
        """For `fit`: texts as they are."""
        return str(source)

    def shown_text(self, source: Any) -> str:
        question = read_question(source)
        return f"{self.prompt(question)} | {question.text}"

    def prompt(self, question: Question) -> str:
        """The rendered prompt. Raises ConfigError for choices of an inventory that the processor has not been told."""
        if self.style == "choices" and question.inventory not in self.labels:
            raise ConfigError(
                f"the layout gives no labels of '{question.inventory}', so they cannot be choices; use a layout with "
                f"the table '{LABELS}', or style: none"
            )
        choices = self.labels.get(question.inventory, ())
        return render(
            prompt_of(question, style=self.style, choices=choices, example=self.examples.get(question.inventory))
        )

    def load(self, source: Any) -> Sample:
        question = read_question(source)
        asked, asked_words = self.pieces(self.prompt(question))
        found = self.tokenizer.encode(question.text, add_special_tokens=False)
        ids_T, words_T = np.array(found.ids, np.int32), np.array(found.word_ids, np.int32)
        room = self.max_length - 3 - len(asked)
        if room < min(self.least_text, len(ids_T)):
            raise DataError(
                f"{question.inventory}: the question has {len(asked)} tokens and max_length is {self.max_length}; "
                "raise max_length, or use a style without choices"
            )
        ends = np.array([end for _, end in found.offsets])
        first = int(np.searchsorted(ends, question.at, side="right"))
        start = max(0, min(first - room // 2, len(ids_T) - room))
        kept = slice(start, start + room)
        return {
            "ids": np.concatenate([[CLS], asked, [SEP], ids_T[kept], [SEP]]).astype(np.int32),
            "word_ids": np.concatenate([[NO_WORD], asked_words, [NO_WORD], words_T[kept], [NO_WORD]]).astype(np.int32),
            "dropped": np.array(max(0, len(ids_T) - room), np.int32),
            "text_id": np.array(text_id(f"{self.prompt(question)}\n{question.at}\n{question.text}"), np.int64),
        }

    def _learned(self) -> str:
        return super()._learned() + json.dumps([self.labels, self.examples], sort_keys=True)

    def save(self, folder: Path) -> None:
        super().save(folder)
        facts = {"labels": self.labels, "examples": self.examples}
        with atomic_write(Path(folder) / SCHEMA_FILE, error=CheckpointError) as partial:
            partial.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        super().restore(folder)
        path = Path(folder) / SCHEMA_FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            self.labels = {str(name): tuple(map(str, labels)) for name, labels in found["labels"].items()}
            self.examples = {str(name): (str(a), str(b)) for name, (a, b) in found["examples"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
            raise CheckpointError(f"{path}: cannot be read ({err}); copy the saved model again") from err


class AnswerProcessor(TextProcessor):
    """The label that answers a question, as words. of: the modality of the question, whose vocabulary it shares."""

    def __init__(self, *, vocab_size: int = 2048, max_length: int = 24, min_frequency: int = 2, of: str) -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)

    def text(self, source: Any) -> str:
        return read_question(source).answer
