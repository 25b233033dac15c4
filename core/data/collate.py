"""Samples to a `Batch`. A modality that some rows lack costs those rows nothing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from core.data.processor import Processor
from core.types import Batch


class Collate:
    """Callable for a loader: list of samples -> Batch. Picklable, so that loader processes can have it."""

    def __init__(
        self,
        processors: Mapping[str, Processor],
        label_names: Sequence[str],
        masks: Sequence[str] = (),
        mask_of: str | Sequence[str] = "",
        quantity_names: Sequence[str] = (),
    ) -> None:
        self.processors = dict(processors)
        self.label_names = tuple(label_names)
        self.quantity_names = tuple(quantity_names)
        self.masks = tuple(masks)
        self.mask_of = (mask_of,) if isinstance(mask_of, str) else tuple(mask_of)

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        inputs, present, keys = {}, {}, {}
        for modality, processor in self.processors.items():
            has = [modality in sample["inputs"] for sample in samples]
            present[modality] = torch.tensor(has, dtype=torch.bool)
            if processor.modality_kind == "text":  # in every batch, also one without a text: batches are put together
                keys[modality] = torch.full((len(samples),), -1, dtype=torch.int64)
            rows = [sample["inputs"][modality] for sample in samples if modality in sample["inputs"]]
            if not rows:
                continue
            inputs[modality] = processor.collate(rows)
            content_V = inputs[modality].extra.get("text_id")
            if content_V is not None and modality in keys:  # equal texts are one another's positives, never negatives
                keys[modality][present[modality]] = content_V
        keys["sample"] = torch.tensor([sample["index"] for sample in samples], dtype=torch.int64)
        keys["group"] = torch.tensor([stable_id(sample["group"]) for sample in samples], dtype=torch.int64)
        labels, quantities = (
            {name: torch.tensor([float(s["labels"].get(name, math.nan)) for s in samples]) for name in names}
            for names in (self.label_names, self.quantity_names)
        )
        return Batch([s["id"] for s in samples], inputs, present, labels, keys, self._masks(samples), quantities)

    def _masks(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        out = {}
        for name in self.masks:
            found = [self._mask(sample["inputs"], f"mask_{name}") for sample in samples]
            shape = next((m.shape for m in found if m is not None), None)
            if shape is not None:  # -1: a row without this mask is not labelled
                rows = [np.full(shape, -1) if m is None else m for m in found]
                out[name] = torch.from_numpy(np.stack(rows).astype(np.int64))
        return out

    def _mask(self, inputs: Mapping[str, Mapping[str, np.ndarray]], key: str) -> np.ndarray | None:
        """The dense label of a sample, whichever of its modalities carries it."""
        return next((inputs[m][key] for m in self.mask_of if m in inputs and key in inputs[m]), None)


@lru_cache(maxsize=2**16)
def stable_id(text: str) -> int:
    """The same non-negative 63-bit integer for the same text, in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
