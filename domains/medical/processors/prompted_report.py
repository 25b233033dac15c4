"""Reports that also say where on the picture something lies (PTP-style, Wang et al. 2023: position-guided prompts)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.data.position_prompts import position_prompt
from core.data.processor import Sample
from core.errors import ConfigError, DataError
from domains.medical.data.source import LocatedReport
from domains.medical.io.nifti import read_labels
from domains.medical.processors.frontal_boxes import frontal_boxes
from domains.medical.processors.report import ReportProcessor


class PromptedReportProcessor(ReportProcessor):
    """A report; in training with a sentence behind it that names the block of the frontal view where a lesion lies.

    Takes a `LocatedReport`, whose label map gives boxes, or a report alone (a text or a file), which gets no prompt:
    evaluation and use have none. One prompt is drawn per training step; a report without lesions stays as it is, and a
    long one is cut so that the prompt fits. Equal reports keep equal `text_id`s, whatever their prompts.
    lesions: names of the labels 1, 2, ... in the label map. blocks: per side of the view. Blocks are those of the
    picture as it was taken: give its processor no shift, scale and rotation. The sample also holds `prompt_ids`,
    `prompt_words` (int32) and `prompt_ends` (K,) int32.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 8192,
        max_length: int = 128,
        min_frequency: int = 2,
        sections: tuple[str, ...] = ("findings", "impression"),
        lesions: tuple[str, ...] = (),
        blocks: int = 3,
        of: str = "",
    ) -> None:
        super().__init__(
            vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, sections=sections, of=of
        )
        if not lesions or blocks < 1:
            raise ConfigError(f"lesions, blocks: are {list(lesions)} and {blocks}; name the labels 1, 2, ... in order")
        self.lesions, self.blocks = tuple(lesions), blocks

    def text(self, source: Any) -> str:
        return super().text(source.report if isinstance(source, LocatedReport) else source)

    def load(self, source: str | Path | LocatedReport) -> Sample:
        text = self.text(source)
        if not text.strip():
            raise DataError(f"{str(source)[:60]}: the text is empty; leave the modality out of records without a text")
        caption = self.encode(text)
        pieces = [self.pieces(prompt) for prompt in self.prompts(source)] if isinstance(source, LocatedReport) else []
        empty = np.zeros(0, np.int32)
        return {
            **caption,
            "prompt_ids": np.concatenate([empty, *(ids for ids, _ in pieces)]),
            "prompt_words": np.concatenate([empty, *(words for _, words in pieces)]),
            "prompt_ends": np.cumsum([len(ids) for ids, _ in pieces], dtype=np.int32),
        }

    def prompts(self, source: LocatedReport) -> list[str]:
        """One sentence per lesion and block. Raises DataError for a label that has no name."""
        told: dict[str, None] = {}
        for lesion in frontal_boxes(read_labels(source.path)):
            if lesion.label > len(self.lesions):
                raise DataError(
                    f"{source.path}: holds the label {lesion.label}, and `lesions` names 1 to {len(self.lesions)}"
                )
            name = self.lesions[lesion.label - 1].lower()
            told[position_prompt(lesion.box, name, size=(1.0, 1.0), blocks=self.blocks) + "."] = None
        return list(told)

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        ends = sample["prompt_ends"]
        if len(ends) == 0:
            return dict(sample)
        i = int(rng.integers(len(ends)))
        span = slice(int(ends[i - 1]) if i > 0 else 0, int(ends[i]))
        ids, words = sample["prompt_ids"][span], sample["prompt_words"][span]
        kept = max(0, min(len(sample["ids"]) - 2, self.max_length - 2 - len(ids)))
        caption_ids, caption_words = (sample[name][1 : 1 + kept] for name in ("ids", "word_ids"))
        behind = words + (caption_words[-1] + 1 if kept else 0)
        both = np.concatenate([caption_ids, ids]), np.concatenate([caption_words, behind])
        made = self.assemble(*both, identity=int(sample["text_id"]))
        return {**sample, **made, "dropped": sample["dropped"]}
