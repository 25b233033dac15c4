"""Runs a model over a split once and keeps what evaluation needs: vectors, features, labels, identities.

Shape legend: N = rows of the split, V = rows in which a modality is present, E = shared width, D = encoder width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from core.models.dual_encoder import DualEncoder
from core.training.precision import Compute
from core.types import Batch


@dataclass(slots=True)
class Features:
    """vectors[m]: (V, E) unit rows. pooled[m]: (V, D). rows[m]: (V,) which of the N rows they are. labels: (N, L).
    keys[m]: (N,) content identity, where the modality has one. groups, ids: N texts."""

    ids: list[str]
    groups: NDArray[np.int64]
    label_names: tuple[str, ...]
    labels: NDArray[np.float64]
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    pooled: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    rows: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    keys: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def paired(self, a: str, b: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows (of a's V, of b's V, of N) where both modalities exist."""
        both, of_a, of_b = np.intersect1d(self.rows[a], self.rows[b], assume_unique=True, return_indices=True)
        return of_a, of_b, both


@torch.no_grad()
def extract(
    model: DualEncoder, batches: Iterable[Batch], compute: Compute, *, modalities: Iterable[str] | None = None
) -> Features:
    """Features of every batch, in order; the model is put back into the mode it was in."""
    wanted = list(model.reads) if modalities is None else list(modalities)
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    ids: list[str] = []
    groups: list[NDArray[np.int64]] = []
    labels: list[NDArray[np.float64]] = []
    names: tuple[str, ...] = ()
    parts: dict[tuple[str, str], list[NDArray[np.generic]]] = {}

    def add(kind: str, modality: str, value: torch.Tensor) -> None:
        parts.setdefault((kind, modality), []).append(value.cpu().numpy())

    for batch in batches:
        first = len(ids)
        ids += batch.ids
        names = tuple(batch.labels)
        groups.append(batch.keys["group"].numpy())
        columns = [batch.labels[name].double() for name in names]
        labels.append(torch.stack(columns, dim=1).numpy() if columns else np.zeros((len(batch), 0)))
        for modality in wanted:
            if modality not in batch.inputs:
                continue
            with compute.autocast():
                vector_VE, pooled_VD = model.embed(modality, batch.inputs[modality].to(compute.device))
            add("vectors", modality, vector_VE)
            add("pooled", modality, pooled_VD)
            add("rows", modality, batch.present[modality].nonzero(as_tuple=True)[0] + first)
        for modality in set(batch.keys) - {"sample", "group"}:
            add("keys", modality, batch.keys[modality])
    for module in was_training:
        module.training = True
    found = Features(ids, np.concatenate(groups), names, np.concatenate(labels))
    for (kind, modality), pieces in parts.items():
        getattr(found, kind)[modality] = np.concatenate(pieces)
    return found
