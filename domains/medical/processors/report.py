"""Radiology reports to token ids; whole, or a few sentences at a time (ConVIRT, Zhang et al. 2020, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from core.data.processor import Sample
from core.data.text import TextProcessor, joint_id, text_id
from core.errors import ConfigError
from domains.medical import reports


class ReportProcessor(TextProcessor):
    """Token ids of a report: the chosen sections in this order, without de-identification marks.

    sections: names as `domains.medical.reports.sections` gives them; a report that has none of them is taken whole.
    Everything else is as in `TextProcessor`.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 8192,
        max_length: int = 128,
        min_frequency: int = 2,
        sections: tuple[str, ...] = ("findings", "impression"),
        of: str = "",
    ) -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        self.sections = tuple(sections)

    def text(self, source: str | Path) -> str:
        whole = super().text(source)
        found = reports.sections(whole)
        chosen = [found[name] for name in self.sections if name in found]
        return reports.clean(" ".join(chosen) if chosen else whole)


class SentenceReportProcessor(ReportProcessor):
    """A report of which each training step sees a random subset of sentences; evaluation sees the whole text.

    most: the subset's size is uniform in 1..most, its sentences are drawn without replacement and keep their order;
    most=1 is ConVIRT. Besides the whole text, the sample holds `sentence_ids` and `sentence_words` (all sentences one
    after the other, int32), `sentence_ends` (K,) int32 and `sentence_text_ids` (K,) int64, so that drawing needs no
    tokenizer. The `text_id` of a drawn subset is that of its sentences: two studies that share the sentence share it.
    """

    not_in_load: ClassVar[frozenset[str]] = ReportProcessor.not_in_load | {"most"}

    def __init__(
        self,
        *,
        vocab_size: int = 8192,
        max_length: int = 128,
        min_frequency: int = 2,
        sections: tuple[str, ...] = ("findings", "impression"),
        most: int = 1,
        of: str = "",
    ) -> None:
        super().__init__(
            vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, sections=sections, of=of
        )
        if most < 1:
            raise ConfigError(f"most: is {most}; a step sees at least one sentence")
        self.most = most

    def encode(self, text: str) -> Sample:
        sample = super().encode(text)
        sentences = reports.sentences(text) or [text]
        pieces = [self.pieces(sentence) for sentence in sentences]
        kept = [i for i, (ids, _) in enumerate(pieces) if len(ids)]
        sample["sentence_ids"] = np.concatenate([pieces[i][0] for i in kept]) if kept else np.zeros(0, np.int32)
        sample["sentence_words"] = np.concatenate([pieces[i][1] for i in kept]) if kept else np.zeros(0, np.int32)
        sample["sentence_ends"] = np.cumsum([len(pieces[i][0]) for i in kept], dtype=np.int32)
        sample["sentence_text_ids"] = np.array([text_id(sentences[i]) for i in kept], np.int64)
        return sample

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        ends = sample["sentence_ends"]
        if len(ends) == 0:
            return dict(sample)
        count = min(int(rng.integers(1, self.most + 1)), len(ends))
        drawn = sorted(rng.choice(len(ends), size=count, replace=False).tolist())
        ids: list[np.ndarray] = []
        words: list[np.ndarray] = []
        identities: list[int] = []
        for i in drawn:
            span = slice(int(ends[i - 1]) if i > 0 else 0, int(ends[i]))
            ids.append(sample["sentence_ids"][span])
            words.append(sample["sentence_words"][span] + (words[-1][-1] + 1 if words else 0))
            identities.append(int(sample["sentence_text_ids"][i]))
        made = self.assemble(np.concatenate(ids), np.concatenate(words), identity=joint_id(identities))
        return {**sample, **made}
