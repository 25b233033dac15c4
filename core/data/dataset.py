"""A split of a layout as samples: records read through processors, kept in the sample store, augmented by position."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from core.data.layout import Layout, Record
from core.data.processor import Processor, Sample
from core.data.store import SampleStore, sample_key
from core.data.text_parts import TextParts
from core.errors import DataError

Item = tuple[int, int]  # (epoch, position in the data set)
# Processed texts that a data set keeps: a report takes about 6 KB, so all of them 150 MB in each loader process. The
# first ones stay: an epoch comes to each text once, so the least recently used would be the one to come again soonest.
KEPT_TEXTS = 25_000


def named(modalities: str | Sequence[str]) -> tuple[str, ...]:
    """One name, several, or none ("") as a tuple."""
    return ((modalities,) if modalities else ()) if isinstance(modalities, str) else tuple(modalities)


def augmented(
    inputs: Mapping[str, Sample], processors: Mapping[str, Processor], draw: Sequence[int]
) -> dict[str, Sample]:
    """A random variation of a record's modalities, a function of the numbers in `draw` (seed, epoch, record)."""
    out = {}
    for modality, sample in inputs.items():
        shared = np.random.default_rng(list(draw))
        own = np.random.default_rng([*draw, zlib.crc32(modality.encode())])
        out[modality] = processors[modality].augment(processors[modality].augment_jointly(sample, shared), own)
    return out


class RecordDataset(Dataset[dict[str, Any]]):
    """Samples of a split. Augmentation is a function of (seed, epoch, record), never of who loads it, or when.

    An item is a position, or (epoch, position) while training. A sample is a dict: `id`, `group`, `index`, `labels`,
    `inputs` (modality -> arrays); a missing modality is absent. `masks`: names of dense labels to load, mapped
    onto the grid of the modality they belong to: the first of `mask_of` that the record has.
    What a processor makes of a text is kept in memory, so the arrays of text are read-only; processors are not fitted
    again once samples are read.
    """

    def __init__(
        self,
        layout: Layout,
        processors: Mapping[str, Processor],
        *,
        store: SampleStore | None = None,
        indices: Sequence[int] | None = None,
        seed: int = 0,
        augment: bool = False,
        masks: Sequence[str] = (),
        mask_of: str | Sequence[str] = "",
        kept: Mapping[str, TextParts] | None = None,
    ) -> None:
        """kept: modality -> what is on disk of its texts."""
        self.kept = dict(kept or {})
        self.layout = layout
        self.processors = dict(processors)
        self.store = store
        self.indices = list(range(len(layout))) if indices is None else list(indices)
        self.seed = seed
        self.augment = augment
        self.masks = tuple(masks)
        self.mask_of = named(mask_of)
        self._texts: dict[tuple[str, str], Sample] = {}
        self._fingerprints: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the kept texts: a loader process makes its own faster than it unpickles these."""
        return {**self.__dict__, "_texts": {}}

    def __len__(self) -> int:
        return len(self.indices)

    def record(self, position: int) -> Record:
        return self.layout.record(self.indices[position])

    def __getitem__(self, item: int | Item) -> dict[str, Any]:
        epoch, position = item if isinstance(item, tuple) else (0, item)
        index = self.indices[position]
        record = self.layout.record(index)
        inputs = self.load(record, index)
        if self.augment:
            inputs = augmented(inputs, self.processors, (self.seed, epoch, index))
        return {
            "id": record.id,
            "group": record.group,
            "index": index,
            "labels": dict(record.labels),
            "inputs": inputs,
        }

    def load(self, record: Record, index: int | None = None) -> dict[str, dict[str, np.ndarray]]:
        """The record's modalities as their processors make them, from the store where it has them. index: its number in
        the layout, if it has one."""
        inputs = {}
        for modality, processor in self.processors.items():
            source = record.sources.get(processor.of or modality)
            if source is None:
                continue

            def compute(processor: Processor = processor, source: Any = source) -> dict[str, np.ndarray]:
                return processor.load(source)

            if isinstance(source, str) and index is not None and modality in self.kept:
                sample = self.kept[modality].sample(index, source)
            elif isinstance(source, str):  # text is quicker made than read from a store
                sample = self._text(modality, source)
            elif self.store is None:
                sample = compute()
            else:
                key = sample_key(self._fingerprint(modality), source, root=self.layout.root)
                sample = self.store.get(key, compute)
            if sample:  # an empty one: the source holds nothing of this modality
                inputs[modality] = sample
        carrier = next((modality for modality in self.mask_of if modality in inputs), "")
        for name in self.masks if carrier else ():
            if name in record.masks:
                inputs[carrier] = {**inputs[carrier], f"mask_{name}": self._mask(record, name, carrier)}
        return inputs

    def _fingerprint(self, modality: str) -> str:
        if modality not in self._fingerprints:
            self._fingerprints[modality] = self.processors[modality].fingerprint()
        return self._fingerprints[modality]

    def _text(self, modality: str, text: str) -> Sample:
        """The sample of a text; scans and reconstructions that share a report share it too."""
        sample = self._texts.get((modality, text))
        if sample is None:
            sample = self.processors[modality].load(text)
            for array in sample.values():
                array.setflags(write=False)
            if len(self._texts) < KEPT_TEXTS:
                self._texts[modality, text] = sample
        return dict(sample)

    def is_stored(self, position: int) -> bool:
        """Whether the store has everything of a record; False when one of its files is missing."""
        record = self.record(position)
        try:
            return all(key in self.store for key in self._keys(record)) if self.store is not None else False
        except DataError:
            return False

    def _keys(self, record: Record) -> Iterator[str]:
        for modality, processor in self.processors.items():
            source = record.sources.get(processor.of or modality)
            if source is not None and not isinstance(source, str):
                yield sample_key(self._fingerprint(modality), source, root=self.layout.root)
        carrier = next((m for m in self.mask_of if m in self.processors and m in record.sources), "")
        for name in set(self.masks) & set(record.masks) if carrier else ():
            yield self._mask_key(record, name, carrier)

    def _mask_key(self, record: Record, name: str, carrier: str) -> str:
        source = sample_key("", record.sources[carrier], root=self.layout.root)
        fingerprint = f"{self._fingerprint(carrier)} mask {source}"
        return sample_key(fingerprint, record.masks[name], root=self.layout.root)

    def _mask(self, record: Record, name: str, carrier: str) -> np.ndarray:
        processor, source = self.processors[carrier], record.sources[carrier]

        def compute() -> dict[str, np.ndarray]:
            return {"mask": processor.load_mask(record.masks[name], source)}

        if self.store is None:
            return compute()["mask"]
        return self.store.get(self._mask_key(record, name, carrier), compute)["mask"]
