"""Multiple-choice questions: every choice is a statement with a graph of its own.

Shape legend: V = rows, C = choices, T = tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.data.processor import Sample
from core.data.text import text_id
from core.errors import DataError
from core.types import ModalityInput
from domains.molecules.grounded.processor import GroundedTextProcessor, concepts_named

UNKNOWN = -1


def question_source(
    stem: str,
    choices: Sequence[str],
    *,
    answer: int = UNKNOWN,
    concepts: Sequence[tuple[Sequence[str], Sequence[str]]] | None = None,
) -> str:
    """A question as the content of a record. answer: position of the right choice. concepts: of stem and of choice, by
    name, for each choice, where somebody has linked them already."""
    facts: dict[str, Any] = {"stem": stem, "choices": list(choices), "answer": answer}
    if concepts is not None:
        facts["concepts"] = [[list(of_stem), list(of_choice)] for of_stem, of_choice in concepts]
    return json.dumps(facts, ensure_ascii=False)


class ChoiceProcessor(GroundedTextProcessor):
    """`question_source` -> one statement `[CLS] stem [SEP] choice [SEP]` per choice.

    collate: x (V, C, T), mask, the arrays of `GroundedTextProcessor` with a C axis; `choice_mask` (V, C), `answer` (V,)
    int64, -1 = unknown. It reads the files of a saved `GroundedTextProcessor`, so that a pretrained model can be asked.
    """

    def text(self, source: str | Path) -> str:
        """All words of a question, for the tokenizer."""
        found = self.question(source)
        return " ".join([found["stem"], *found["choices"]])

    def question(self, source: str | Path) -> dict[str, Any]:
        """What a source says. Raises DataError for what is no question."""
        text = super().text(source)
        where = f"question '{text[:60]}'"
        try:
            found = json.loads(text)
            stem, choices, answer = str(found["stem"]), [str(c) for c in found["choices"]], int(found["answer"])
        except (ValueError, KeyError, TypeError) as err:
            raise DataError(f"{where}: not a question ({err!r}); expected JSON with stem, choices, answer") from err
        if not stem.strip() or len(choices) < 2 or not all(choice.strip() for choice in choices):
            raise DataError(f"{where}: needs a stem and two choices or more, none of them empty")
        if not UNKNOWN <= answer < len(choices):
            raise DataError(f"{where}: the answer is {answer}, and there are {len(choices)} choices")
        concepts = found.get("concepts")
        if concepts is not None and (len(concepts) != len(choices) or any(len(both) != 2 for both in concepts)):
            raise DataError(f"{where}: concepts should be pairs of lists, one pair for each of {len(choices)} choices")
        return {"stem": stem, "choices": choices, "answer": answer, "concepts": concepts}

    def load(self, source: str | Path) -> Sample:
        found = self.question(source)
        where = f"question '{found['stem'][:60]}'"
        sample: Sample = {
            "answer": np.array(found["answer"], np.int64),
            "choices": np.array(len(found["choices"]), np.int64),
            "text_id": np.array(text_id(found["stem"]), np.int64),
        }
        for i, choice in enumerate(found["choices"]):
            given: dict[str, Iterable[int]] = {}
            if found["concepts"] is not None:
                of_stem, of_choice = (concepts_named(self.graph, n, where=where) for n in found["concepts"][i])
                given = {"context_concepts": of_stem, "answer_concepts": of_choice}
            own = self.statement(found["stem"], choice, **given)
            sample |= {f"{i}/{name}": array for name, array in own.items()}
        return sample

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        most = max(int(sample["choices"]) for sample in samples)
        real_VC = torch.tensor([[i < int(sample["choices"]) for i in range(most)] for sample in samples])
        each = [_choice(sample, i if i < int(sample["choices"]) else 0) for sample in samples for i in range(most)]
        flat = super().collate(each).apply(lambda t: t.unflatten(0, (len(samples), most)))
        flat.extra |= {"choice_mask": real_VC, "answer": torch.tensor([int(sample["answer"]) for sample in samples])}
        return flat


def _choice(sample: Mapping[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    prefix = f"{number}/"
    return {name.removeprefix(prefix): array for name, array in sample.items() if name.startswith(prefix)}
