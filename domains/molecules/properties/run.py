"""The property probes of one saved model: what it reads, what it is compared with, what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import DataError
from core.hub import ModalityEncoder, SavedModel
from domains.molecules.data.shipped import property_set
from domains.molecules.fingerprints import morgan_counts
from domains.molecules.io.parse import read_many
from domains.molecules.properties.probe import compare
from domains.molecules.standardise import isomeric_key


def run(where: Path, modality: str, sets: Sequence[str], *, seeds: int, most: int | None = None) -> dict[str, Any]:
    """Set -> features -> figures; each set is printed as it is done.

    "untrained" is the same encoder with fresh weights. Features are the encoder's own pooled states, before the
    projection. Molecules that RDKit refuses are counted and left out; each is taken once. most: molecules of a set that
    are taken, the first ones; None = all.
    """
    trained = SavedModel.from_pretrained(where).encoder(modality)
    fresh = SavedModel.from_pretrained(where)
    _forget(fresh, seed=0)
    out: dict[str, Any] = {}
    for name in sets:
        found = property_set(name)
        read = read_many(found.smiles[:most])
        rows: dict[str, int] = {}
        for row, mol in enumerate(read):
            if not isinstance(mol, DataError):
                rows.setdefault(isomeric_key(mol), row)
        kept = list(rows.values())
        smiles, mols = [found.smiles[row] for row in kept], [read[row] for row in kept]
        y_N = np.array([found.values[row] for row in kept])
        features = {
            "pretrained": _features(trained, smiles),
            "untrained": _features(fresh.encoder(modality), smiles),
            "morgan": morgan_counts(mols),
        }
        features["pretrained + morgan"] = np.concatenate([features["pretrained"], features["morgan"]], axis=1)
        figures = compare(features, y_N, mols, seeds=seeds)
        print(
            f"\n{name}: {found.origin}; {len(kept)} molecules ({len(read) - len(kept)} refused or twice), {found.unit}"
        )
        for kind, values in figures.items():
            print(f"  {kind:<20} {values.line()}")
        out[name] = {kind: asdict(values) for kind, values in figures.items()}
    return out


def _features(encoder: ModalityEncoder, smiles: list[str]) -> np.ndarray:
    return encoder.encode(smiles, batch_size=128, pooled=True).astype(np.float64)


def _forget(saved: SavedModel, *, seed: int) -> None:
    """Draw every weight anew, as it was when the model was built."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in saved.model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
