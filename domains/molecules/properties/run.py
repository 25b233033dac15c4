"""The property probes of one encoder: what it reads, what it is compared with, what is printed.

Shape legend: N = molecules, D = width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.processor import Processor
from core.encoders.base import Encoder
from core.errors import DataError
from core.hub import SavedModel, without_downloads
from core.training.setup import build_model
from domains.molecules.data.shipped import property_set
from domains.molecules.fingerprints import morgan_counts
from domains.molecules.io.parse import read_many
from domains.molecules.properties.probe import Figures, compare
from domains.molecules.standardise import isomeric_key

ALL = ", all layers"
BASELINES = ("untrained", "morgan")


def run(where: Path, modality: str, sets: Sequence[str], *, seeds: int, most: int | None = None) -> dict[str, Any]:
    """Set -> features -> figures; each set is printed as it is done.

    "untrained" is the same encoder with first weights, of another seed for each split. Features are the encoder's own
    pooled states, before the projection; "all layers" adds the means of every layer's atoms to them. Molecules that
    RDKit refuses are counted and left out; each is taken once. most: molecules of a set that are taken, the first
    ones; None = all.
    """
    saved = SavedModel.from_pretrained(where)
    trained, processor = saved.encoder(modality).model.encoder_of(modality), saved.processors[modality]
    node = without_downloads(saved.model_node)
    fresh = [build_model(node, seed).encoder_of(modality) for seed in range(seeds)]
    out: dict[str, Any] = {}
    for name in sets:
        found = measured(name, most)
        figures = probed(trained, fresh, processor, found, seeds=seeds)
        print(f"\n{name}: {found.about}", flush=True)
        for kind, values in figures.items():
            print(f"  {kind:<24} {values.line()}")
        for other in BASELINES:
            print(f"  pretrained - {other:<11} {figures['pretrained'].less(figures[other]).line()}")
        out[name] = {kind: asdict(values) for kind, values in figures.items()}
    return out


@dataclass(frozen=True, slots=True)
class Measured:
    """Molecules of a set, each once, with their value. about: origin and counts, in a line."""

    smiles: list[str]
    mols: list[object]
    values: NDArray[np.float64]
    about: str


def measured(name: str, most: int | None = None) -> Measured:
    """A shipped property set. Raises ConfigError for an unknown name, or naming the extra that ships it."""
    found = property_set(name)
    read = read_many(found.smiles[:most])
    rows: dict[str, int] = {}
    for row, mol in enumerate(read):
        if not isinstance(mol, DataError):
            rows.setdefault(isomeric_key(mol), row)
    kept = list(rows.values())
    return Measured(
        [found.smiles[row] for row in kept],
        [read[row] for row in kept],
        np.array([found.values[row] for row in kept]),
        f"{found.origin}; {len(kept)} molecules ({len(read) - len(kept)} refused or twice), {found.unit}",
    )


def probed(
    trained: Encoder,
    fresh: Sequence[Encoder],
    processor: Processor,
    found: Measured,
    *,
    seeds: int,
    brief: bool = False,
) -> dict[str, Figures]:
    """Figures of the encoder, of untrained ones and of fingerprints, on the same scaffold splits. brief: of pooled
    states alone, and without what joins two kinds."""
    samples = [processor.load(text) for text in found.smiles]
    features: dict[str, Any] = {"pretrained": states(trained, processor, samples)}
    if fresh:
        features["untrained"] = [states(encoder, processor, samples) for encoder in fresh]
    if getattr(trained, "depth", 0) and not brief:
        features[f"pretrained{ALL}"] = states(trained, processor, samples, layers=True)
        features[f"untrained{ALL}"] = [states(encoder, processor, samples, layers=True) for encoder in fresh]
    features["morgan"] = morgan_counts(found.mols)
    if not brief:
        features["pretrained + morgan"] = np.concatenate([features["pretrained"], features["morgan"]], axis=1)
    return compare(features, found.values, found.mols, seeds=seeds)


@torch.no_grad()
def states(
    encoder: Encoder, processor: Processor, samples: Sequence[Any], *, layers: bool = False, batch_size: int = 128
) -> NDArray[np.float64]:
    """(N, D) pooled states in evaluation mode; with `layers` the mean of every layer's tokens beside them."""
    was, device = encoder.training, next(encoder.parameters()).device
    encoder.eval()
    depth: Any = getattr(encoder, "depth", 0)
    rows = []
    for first in range(0, len(samples), batch_size):
        inp = processor.collate(samples[first : first + batch_size]).to(device)
        found = encoder(inp, want=range(depth) if layers else ())
        parts = [found.pooled]
        for _, h_VND in sorted(found.layers.items()):
            real_VN1 = inp.mask[..., None] if inp.mask is not None else torch.ones_like(h_VND[..., :1])
            parts.append((h_VND * real_VN1).sum(1) / real_VN1.sum(1).clamp(min=1))
        rows.append(torch.cat(parts, dim=1).double().cpu().numpy())
    encoder.train(was)
    return np.concatenate(rows)
