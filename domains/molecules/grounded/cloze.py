"""Facts asked for by cloze: which candidate belongs where a text has a gap (Petroni et al. 2019, LAMA).

A candidate of n tokens is asked for with n mask tokens, and scored by the mean log-probability of its tokens.
Shape legend: B = sentences of a pass, T = tokens, Q = questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.data.datamodule import DataModule
from core.data.processor import Sample
from core.data.text import MASK
from core.errors import ConfigError
from core.models.dual_encoder import DualEncoder
from core.objectives.tokens.masked_text import WordHead
from core.training.figures import Figure
from core.training.precision import Compute
from domains.molecules.grounded.encoder import GroundedTextEncoder
from domains.molecules.grounded.figures import encoder_of, head_of, mean_of
from domains.molecules.grounded.processor import GroundedTextProcessor


@dataclass(frozen=True, slots=True)
class Gap:
    """One question with mask tokens for candidates of one length. sample: what the model reads. candidates: positions
    in the list of the question; tokens: (c, n) their ids."""

    question: int
    sample: Sample
    candidates: tuple[int, ...]
    tokens: np.ndarray


class ClozeFacts(Figure):
    """Accuracy of the best candidate over the table `cloze` of a split; `chance` beside it. Concepts are linked in the
    text with the gap, so the answer is never linked. Splits without the table have no figure."""

    headline: ClassVar[Mapping[str, str]] = {"facts by cloze, accuracy": "cloze/accuracy", "  chance": "cloze/chance"}

    def __init__(self, *, modality: str = "grounded", head: str = "words", batch_size: int = 128) -> None:
        self.modality, self.head, self.batch_size = modality, head, batch_size

    def check(self, model: DualEncoder) -> None:
        encoder_of(model, self.modality)
        if not isinstance(head_of(model, self.head), WordHead):
            raise ConfigError(f"ClozeFacts: model.heads.{self.head} should be a core.objectives.tokens WordHead")

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        encoder, head = encoder_of(model, self.modality), head_of(model, self.head)
        assert isinstance(head, WordHead)
        processor = data.processors[self.modality]
        assert isinstance(processor, GroundedTextProcessor)  # the encoder has taken it
        questions = [line.split("\t") for line in data.layouts[split].tables.get("cloze", {}).values()]
        if not questions:
            return {}
        candidates = [line[3].split("|") for line in questions]
        score = [np.full(len(own), -np.inf) for own in candidates]
        gaps = list(_gaps(questions, candidates, processor))
        for first in range(0, len(gaps), self.batch_size):
            part = gaps[first : first + self.batch_size]
            for gap, values in zip(part, _scores(part, processor, encoder, head, compute), strict=True):
                score[gap.question][list(gap.candidates)] = values
        right = [own.index(line[1]) for line, own in zip(questions, candidates, strict=True)]
        hits = [float(own.argmax() == answer) for own, answer in zip(score, right, strict=True)]
        chance = float(np.mean([1 / len(own) for own in candidates]))
        return mean_of(hits, "cloze/accuracy", n_bootstrap, seed) | {
            "cloze/chance": chance, "cloze/questions": float(len(hits))
        }  # fmt: skip


def _gaps(
    questions: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]], processor: GroundedTextProcessor
) -> Iterator[Gap]:
    pieces: dict[str, tuple[int, ...]] = {}
    for number, (line, own) in enumerate(zip(questions, candidates, strict=True)):
        for name in own:
            if name not in pieces:
                pieces[name] = tuple(processor.pieces(name)[0].tolist())
        for length in sorted({len(pieces[name]) for name in own}):
            chosen = tuple(i for i, name in enumerate(own) if len(pieces[name]) == length)
            sample = processor.gap(line[0], own[chosen[0]], line[2])
            yield Gap(number, sample, chosen, np.array([pieces[own[i]] for i in chosen]))


def _scores(
    gaps: Sequence[Gap],
    processor: GroundedTextProcessor,
    encoder: GroundedTextEncoder,
    head: WordHead,
    compute: Compute,
) -> Iterator[np.ndarray]:
    """Mean log-probability of each candidate's tokens, per gap."""
    inp = processor.collate([gap.sample for gap in gaps])
    with compute.autocast():
        tokens = encoder.read(inp.to(compute.device)).tokens
        assert tokens is not None
        row_M, at_M = (inp.x == MASK).nonzero(as_tuple=True)
        logits = head(tokens.x[row_M.to(compute.device), at_M.to(compute.device)])
    of_mask = logits.float().log_softmax(dim=-1).cpu().numpy()
    for row, gap in enumerate(gaps):
        own = of_mask[row_M.numpy() == row]
        if len(own) != gap.tokens.shape[1]:  # cut off: the text is longer than the model reads
            yield np.full(len(gap.candidates), -np.inf)
            continue
        yield own[np.arange(len(own)), gap.tokens].mean(axis=1)
