"""Mentions and their best entities for a report: sentence, picture, right or wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.datamodule import DataModule
from core.data.text import TextProcessor
from core.errors import DataError
from core.report.content import Answer, Item, Picture, RetrievalExample

if TYPE_CHECKING:
    from domains.molecules.linking.layouts import EntityLinkingFolder
    from domains.molecules.linking.score_table import Linked


def linking_examples(
    linked: Linked,
    layout: EntityLinkingFolder,
    data: DataModule,
    shows: Mapping[str, tuple[str, str]],
    count: int,
) -> list[RetrievalExample]:
    """`count` mentions, evenly spaced over the split whatever their rank. shows: "mention" and "entity" -> names of
    their text and picture modalities."""
    rows = np.linspace(0, len(linked.index) - 1, min(count, len(linked.index))).astype(int)
    found = []
    for row in rows:
        index = linked.index[row]
        answers = [
            Answer(_item(data, layout.kb.sources(int(e)), *shows["entity"]), float(s), int(e) == layout.answers[index])
            for e, s in zip(linked.top[row], linked.score[row], strict=True)
        ]
        query = _item(data, layout.record(index).sources, *shows["mention"])
        found.append(RetrievalExample(query, answers, rank=float(linked.rank[row]), pool=len(layout.kb)))
    return found


def _item(data: DataModule, sources: Mapping[str, Any], text: str, picture: str) -> Item:
    reader = data.processors[text]
    assert isinstance(reader, TextProcessor)
    return Item(pictures=_pictures(data, sources, picture), text=reader.shown_text(sources[text]))


def _pictures(data: DataModule, sources: Mapping[str, Any], modality: str) -> list[Picture]:
    if modality not in sources:
        return []
    processor = data.processors[modality]
    try:
        sample = processor.load(sources[modality])
    except DataError:
        return []
    return [processor.shown(processor.collate([sample]).x[0].numpy())]
