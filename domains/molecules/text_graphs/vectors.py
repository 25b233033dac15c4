"""Nodes of a split as vectors with their classes, of the run's own graph or of another one.

Shape legend: R = nodes, C = classes, D = encoder width, E = width of the shared space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.datamodule import DataModule
from core.data.layout import SPLITS
from core.errors import ConfigError, DataError
from core.models.dual_encoder import DualEncoder
from core.training.features import extract
from core.training.precision import Compute
from domains.molecules.text_graphs.graph import TextGraph
from domains.molecules.text_graphs.hashing import hashed_words
from domains.molecules.text_graphs.layout import NodeLayout

OWN_WIDTH = 384
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NodeVectors:
    """pooled: (R, D). vectors: (R, E) unit rows. label: (R,) class, -1 = unknown. own: (R, 384)
    hashed words of the nodes' own texts; near: (R, 768) these and their mean over neighbours, all without training.
    classes, texts: names of the classes and what they are called in a sentence."""

    pooled: Floats
    vectors: Floats
    label: NDArray[np.int64]
    own: Floats
    near: Floats
    classes: tuple[str, ...]
    texts: tuple[str, ...]

    def known(self) -> NDArray[np.int64]:
        """Rows whose class is known."""
        return np.flatnonzero(self.label >= 0)


def other_graph(layout: str, arguments: Mapping[str, Any], data: DataModule) -> DataModule:
    """The splits of another layout of the domain (its default root), read by the processors of `data`."""
    from domains.molecules.data import layout_class

    found = {split: layout_class(layout)(split=split, **arguments) for split in SPLITS}
    module = DataModule(found, data.processors, data.settings, seed=data.seed)
    module.store = data.store
    for split in SPLITS:
        module.indices[split] = list(range(len(found[split])))
        readable = module.dataset(split)
        module.indices[split] = [i for i in range(len(found[split])) if _reads(readable, i)]
    return module


def _reads(dataset: Any, position: int) -> bool:
    try:
        dataset[position]
    except DataError:
        return False
    return True


def node_vectors(
    model: DualEncoder, data: DataModule, split: str, *, modality: str, compute: Compute
) -> NodeVectors | None:
    """The nodes of a split; None when it was not read or holds none. Raises ConfigError for another layout."""
    layout = data.layouts.get(split)
    if layout is None or not data.indices.get(split):
        return None
    texts = layout.tables.get("classes", {})
    if not texts or not isinstance(layout, NodeLayout):
        raise ConfigError(f"{layout.name} names no classes of nodes; use a text graph layout")
    found = extract(model, data.eval_loader(split), compute, modalities=[modality])
    if modality not in found.rows:
        return None
    classes = tuple(texts)
    columns = [found.label_names.index(name) for name in classes]
    labels_RC = found.labels[found.rows[modality]][:, columns]
    label_R = np.where(np.isnan(labels_RC).any(axis=1), -1, np.nan_to_num(labels_RC).argmax(axis=1))
    assert isinstance(layout, NodeLayout)
    rows = [layout.rows[data.indices[split][int(r)]] for r in found.rows[modality]]
    own_RF = hashed_words([layout.graph.texts[row] for row in rows], OWN_WIDTH)
    near_RF = np.concatenate([own_RF, neighbour_words(layout.graph, np.array(rows))], axis=1)
    return NodeVectors(
        found.pooled[modality],
        found.vectors[modality],
        label_R.astype(np.int64),
        own_RF,
        near_RF,
        classes,
        tuple(texts.values()),
    )


def neighbour_words(graph: TextGraph, rows_R: NDArray[np.int64]) -> Floats:
    """(R, 384) mean of the neighbours' hashed words; zeros for a node without neighbours."""
    owner, neighbour = graph.edges_of(rows_R)
    out_RF = np.zeros((len(rows_R), OWN_WIDTH), np.float32)
    if len(owner):
        np.add.at(out_RF, owner, hashed_words([graph.texts[int(n)] for n in neighbour], OWN_WIDTH))
    count_R = np.maximum(graph.degree_N[rows_R], 1).astype(np.float32)
    return np.asarray(out_RF / count_R[:, None], np.float32)


def class_vectors(
    model: DualEncoder, data: DataModule, texts: tuple[str, ...], *, modality: str, template: str, compute: Compute
) -> torch.Tensor:
    """(C, E) unit vectors of the classes' sentences, put into `template` where it says {}."""
    processor = data.processors[modality]
    batch = processor.collate([processor.load(template.format(text)) for text in texts]).to(compute.device)
    with torch.no_grad(), compute.autocast():
        return model.embed(modality, batch)[0].cpu()
