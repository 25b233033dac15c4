"""The part of a report about retrieval by text: worth of answers, languages, and examples for every image modality."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.data.datamodule import DataModule
from core.data.dataset import RecordDataset
from core.data.layout import Record
from core.data.processor import Processor
from core.data.text import TextProcessor
from core.report import Item, Report, to_uint8
from core.report.gallery import retrieval_examples
from core.training.features import Features
from core.training.measure import Measured


def add_text_figures(report: Report, data: DataModule, measured: Measured, count: int, split: str) -> None:
    """Tables of nDCG and of languages, where they were measured; examples of the image modalities that are not the
    headline's."""
    if measured.graded:
        ks = list(next(iter(measured.graded.values())).ndcg)
        rows = [
            [name.replace("_", " "), *(cell for k in ks for cell in (str(s.ndcg[k]), s.chance[k])), s.queries]
            for name, s in measured.graded.items()
        ]
        columns = ["direction", *(c for k in ks for c in (f"nDCG@{k}", "chance")), "queries"]
        rule = next(iter(measured.graded.values())).protocol["relevance"]
        report.add_table(
            "Retrieval by worth", columns, rows, note=f"Worth of an answer: {rule}. 95% bootstrap intervals by group."
        )
    if measured.languages:
        rows = [
            [f"{image}, {direction.replace('_', ' ')}", language, *(str(s.recall[k]) for k in (1, 5, 10)),
             s.chance_recall[5], str(s.mean_average_precision), s.pool_size]
            for image, figures in measured.languages.items()
            for direction, by_language in figures.retrieval.items()
            for language, s in by_language.items()
        ]  # fmt: skip
        spread = "; ".join(
            f"{image}, {direction.replace('_', ' ')} {c.rank_deviation}"
            for image, figures in measured.languages.items()
            for direction, c in figures.consistency.items()
        )
        report.add_table(
            "Languages", ["direction", "language", "R@1", "R@5", "R@10", "chance R@5", "mAP", "pool"], rows,
            note=f"Only rows that have every language. Deviation of an item's rank between languages: {spread}.",
        )  # fmt: skip
    found, text = measured.features, measured.text
    kinds = {name: processor.modality_kind for name, processor in data.processors.items()}
    for image in [m for m in found.rows if kinds[m] != "text" and m != measured.image and count]:
        shows = pictures_of(data.processors[image], data.dataset(split).load(_first(data, found, image, split))[image])
        if shows and f"{text}_to_{image}" in measured.retrieval:
            _examples(report, data, measured, image, count, split)


def _examples(report: Report, data: DataModule, measured: Measured, image: str, count: int, split: str) -> None:
    found, text, dataset = measured.features, measured.text, data.dataset(split)
    of_image, of_text, both = found.paired(image, text)
    keys = found.keys.get(text, np.arange(len(found.ids)))[both]

    def picture(row: int) -> Item:
        position = int(both[row])
        return Item(pictures=pictures_of(data.processors[image], dataset.load(dataset.record(position))[image]))

    def words(row: int) -> Item:
        return Item(text=shown_text(dataset, text, int(both[row])) or found.ids[int(both[row])])

    examples = retrieval_examples(
        found.vectors[text][of_text], found.vectors[image][of_image], keys, keys, query_item=words,
        gallery_item=picture, rows=np.linspace(0, len(both) - 1, min(count, len(both))).astype(int).tolist(),
    )  # fmt: skip
    report.add_retrieval(f"text → {image}: held-out examples, evenly chosen", examples)


def _first(data: DataModule, found: Features, image: str, split: str) -> Record:
    return data.dataset(split).record(int(found.rows[image][0]))


def shown_text(dataset: RecordDataset, modality: str, position: int) -> str:
    """The text of a record as evaluation reads it; "" where it has to be read from a file."""
    processor = dataset.processors[modality]
    source = dataset.record(position).sources.get(processor.of or modality)
    return processor.shown_text(source) if isinstance(source, str) and isinstance(processor, TextProcessor) else ""


def pictures_of(processor: Processor, sample: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.uint8]]:
    """A sample as pictures: (C, H, W) as one, as its processor shows it; (C, S, H, W) as three of its slices; none of
    what is no picture (a place)."""
    x = processor.collate([sample]).x[0].numpy()
    if x.ndim < 3:
        return []
    if x.ndim == 3:
        return [processor.shown(x)]
    slices = sorted({round(share * (x.shape[1] - 1)) for share in (0.33, 0.5, 0.67)})
    return [to_uint8(x[0, s], low=0, high=1) for s in slices]
