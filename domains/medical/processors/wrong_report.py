"""Hard negatives of reports, made by rule (HQ-CLIP-style: Wei et al. 2025 let a language model write them)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from core.data.processor import Sample
from core.data.text import text_id
from core.errors import ConfigError, DataError
from domains.medical.contradictions import contradictions
from domains.medical.processors.report import ReportProcessor


class WrongReportProcessor(ReportProcessor):
    """A whole report with one sentence made wrong (see `domains.medical.contradictions`).

    K negatives of a report are K modalities with `of: report`, `count: K` and `number` 0 to K - 1: the ways to be wrong
    are dealt out in turn, so that no two of them are the same. Each training step draws one of a modality's own; the
    first one stands for it elsewhere. A report with fewer ways leaves the higher numbers without one. What would not be
    seen, because the text is cut at `max_length`, is left out. Besides its ids the sample holds those of all its
    versions: `version_ids`, `version_words` (int32), `version_ends` (K,) int32, `version_text_ids` (K,) int64.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 8192,
        max_length: int = 128,
        min_frequency: int = 2,
        sections: tuple[str, ...] = ("findings", "impression"),
        number: int = 0,
        count: int = 1,
        of: str = "report",
    ) -> None:
        super().__init__(
            vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, sections=sections, of=of
        )
        if not 0 <= number < count:
            raise ConfigError(f"number, count: are {number} and {count}; give 0 <= number < count")
        self.number, self.count = number, count

    def load(self, source: str | Path) -> Sample:
        text = self.text(source)
        if not text.strip():
            raise DataError(f"{str(source)[:60]}: the text is empty; leave the modality out of records without a text")
        true = self.encode(text)["ids"]
        ways = [(way, *self.pieces(way)) for way in contradictions(text)[self.number :: self.count]]
        made = [(self.assemble(ids, words, identity=text_id(way)), ids, words) for way, ids, words in ways]
        seen = [part for part in made if not np.array_equal(part[0]["ids"], true)]
        if not seen:
            return {}
        return {
            **seen[0][0],
            "version_ids": np.concatenate([ids for _, ids, _ in seen]),
            "version_words": np.concatenate([words for _, _, words in seen]),
            "version_ends": np.cumsum([len(ids) for _, ids, _ in seen], dtype=np.int32),
            "version_text_ids": np.array([sample["text_id"] for sample, _, _ in seen], np.int64),
        }

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        ends = sample["version_ends"]
        i = int(rng.integers(len(ends)))
        span = slice(int(ends[i - 1]) if i > 0 else 0, int(ends[i]))
        identity = int(sample["version_text_ids"][i])
        return {
            **sample,
            **self.assemble(sample["version_ids"][span], sample["version_words"][span], identity=identity),
        }
