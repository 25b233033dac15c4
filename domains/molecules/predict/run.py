"""Properties of molecules by fine-tuned runs, with how far each is from what the runs were trained on.

Shape legend: N = molecules asked about, R = those that can be read, L = labels or quantities, K = runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import ConfigError, DataError
from core.training.finetuned import Finetuned, load_finetuned
from domains.molecules.fingerprints import morgan_bits, nearest_tanimoto
from domains.molecules.io.parse import read_many
from domains.molecules.predict import table as tables
from domains.molecules.processors.graph import GraphProcessor
from domains.molecules.tasks import Properties
from domains.molecules.tasks.known import KnownMolecules


@dataclass(frozen=True, slots=True)
class Prediction:
    """names: (L,). values: (N, L) mean over the runs, nan where a molecule cannot be read; probabilities of labels, or
    values in the unit of the training data. spread: (N, L) standard deviation over the runs (ddof 1), None for one.
    tanimoto: (N,) to the nearest training molecule of the first run, whose id is `nearest`. errors: row -> reason."""

    names: list[str]
    values: NDArray[np.float64]
    spread: NDArray[np.float64] | None
    tanimoto: NDArray[np.float32]
    nearest: list[str]
    errors: dict[int, str]

    def columns(self) -> dict[str, list[str]]:
        """The columns of the result as text, blank where there is nothing."""
        out: dict[str, list[str]] = {}
        for i, name in enumerate(self.names):
            out[f"predicted_{name}"] = [_cell(value) for value in self.values[:, i]]
            if self.spread is not None:
                out[f"spread_{name}"] = [_cell(value) for value in self.spread[:, i]]
        out["nearest_tanimoto"] = [_cell(value, 3) for value in self.tanimoto]
        out["nearest_training"] = self.nearest
        out["error"] = [self.errors.get(row, "") for row in range(len(self.values))]
        return out


def predict_file(
    runs: Sequence[Path], source: Path, out: Path, *, column: str | None = None, batch_size: int = 128
) -> Prediction:
    """Read a file, predict, write the table, and say on the terminal what became of it."""
    table = tables.read(source, column)
    found = predict(runs, table.molecules, batch_size=batch_size)
    tables.write(out, table, found.columns())
    read = len(found.values) - len(found.errors)
    print(f"{read} of {len(found.values)} molecules predicted: {', '.join(found.names)}", file=sys.stderr)
    for row, why in list(found.errors.items())[:5]:
        print(f"  row {row + 1}: {why}", file=sys.stderr)
    if len(found.errors) > 5:
        print(f"  and {len(found.errors) - 5} more, see the column 'error'", file=sys.stderr)
    if read:
        low = float(np.nanquantile(found.tanimoto, 0.1))
        median = float(np.nanmedian(found.tanimoto))
        print(f"nearest training molecule: Tanimoto {median:.2f} median, {low:.2f} tenth percentile", file=sys.stderr)
    print(f"table   {out}")
    return found


def predict(runs: Sequence[Path | str], molecules: Sequence[str], *, batch_size: int = 128) -> Prediction:
    """Properties of strings (SMILES, InChI, molfile blocks), one row each, in order.

    runs: finished runs of `finetune` with the task `Properties`, all of the same properties and the same policy for
    molecules. Raises ConfigError for runs that differ, CheckpointError for a run that cannot be loaded.
    """
    if not runs or batch_size < 1:
        raise ConfigError(f"predict: {len(runs)} runs and a batch_size of {batch_size}; give one or more of each")
    loaded = [_loaded(Path(run)) for run in runs]
    first = loaded[0]
    for run, other in zip(runs[1:], loaded[1:], strict=True):
        if other.names != first.names:
            raise ConfigError(f"{run}: predicts {', '.join(other.names)}; {runs[0]} {', '.join(first.names)}")
        if other.processor.fingerprint() != first.processor.fingerprint():
            raise ConfigError(f"{run}: reads molecules in another way than {runs[0]}; give runs of one encoder")
    found = read_many(list(molecules), first.processor.policy)
    errors = {row: str(mol) for row, mol in enumerate(found) if isinstance(mol, DataError)}
    rows = [row for row in range(len(found)) if row not in errors]
    values_KNL = np.full((len(runs), len(found), len(first.names)), np.nan)
    tanimoto = np.full(len(found), np.nan, np.float32)
    nearest = [""] * len(found)
    known = KnownMolecules.load(Path(runs[0]))
    for start in range(0, len(rows), batch_size):
        chunk = rows[start : start + batch_size]
        samples = [first.processor.load(molecules[row]) for row in chunk]
        for k, model in enumerate(loaded):
            values_KNL[k, chunk] = model(samples)
        near, which = nearest_tanimoto(morgan_bits([found[row] for row in chunk]), known.bits)
        tanimoto[chunk] = near
        for row, index in zip(chunk, which.tolist(), strict=True):
            nearest[row] = str(known.ids[index])
    spread = values_KNL.std(axis=0, ddof=1) if len(runs) > 1 else None
    return Prediction(list(first.names), values_KNL.mean(axis=0), spread, tanimoto, nearest, errors)


class _Model:
    def __init__(self, found: Finetuned, task: Properties, processor: GraphProcessor) -> None:
        self.found, self.task, self.processor, self.names = found, task, processor, task.names

    @torch.no_grad()
    def __call__(self, samples: list[Any]) -> NDArray[np.float64]:
        return self.task.predicted(self.found.model(self.processor.collate(samples))).numpy()


def _loaded(run: Path) -> _Model:
    found = load_finetuned(run)
    processor = found.processors.get(found.model.modality)
    if not isinstance(found.task, Properties) or not isinstance(processor, GraphProcessor):
        raise ConfigError(
            f"{run}: was fine-tuned with {type(found.task).__name__} on {type(processor).__name__}; give a run of "
            "domains.molecules.tasks.Properties (systems property_values, property_labels)"
        )
    return _Model(found, found.task, processor)


def _cell(value: float, digits: int = 6) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}g}"
