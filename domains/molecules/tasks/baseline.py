"""Morgan fingerprints with a linear model, on the molecules and splits of a run.

Shape legend: N = molecules of a split, D = features, L = labels, Q = quantities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.datamodule import DataModule
from core.evaluation import LinearProbe
from core.evaluation.classification import ClassificationScores, classification_scores
from core.evaluation.regression import RegressionScores, regression_scores
from domains.molecules.fingerprints import morgan_bits, morgan_counts
from domains.molecules.io.parse import read_molecule
from domains.molecules.processors.graph import GraphProcessor, string_of
from domains.molecules.tasks.known import KnownMolecules
from domains.molecules.tasks.ridge import ridge

SPLITS = ("train", "val", "test")
MIN_ROWS = 3  # with a value, of each split


@dataclass(frozen=True, slots=True)
class Molecules:
    """The molecules of a split that has the modality. values: (N, L) of `names`, nan = unknown. groups: (N,)."""

    ids: list[str]
    mols: list[Any]
    values: NDArray[np.float64]
    groups: NDArray[np.int64]


def molecules_of(data: DataModule, split: str, modality: str, names: Sequence[str]) -> Molecules:
    """What the run reads of a split, as molecules under the policy of its processor."""
    processor = data.processors[modality]
    assert isinstance(processor, GraphProcessor)
    records = [data.layouts[split].record(i) for i in data.indices[split]]
    records = [record for record in records if (processor.of or modality) in record.sources]
    _, group_N = np.unique([record.group for record in records], return_inverse=True)
    return Molecules(
        ids=[record.id for record in records],
        mols=[read_molecule(string_of(r.sources[processor.of or modality]), processor.policy) for r in records],
        values=np.array([[r.labels.get(name, np.nan) for name in names] for r in records], np.float64),
        groups=group_N,
    )


class MorganBaseline:
    """Counts of circular fragments and one linear model per property, its strength chosen on the validation split."""

    def __init__(self, data: DataModule, modality: str, names: Sequence[str]) -> None:
        self.names = list(names)
        self.parts = {split: molecules_of(data, split, modality, names) for split in SPLITS}

    @cached_property
    def counts(self) -> dict[str, NDArray[np.float32]]:
        """Split -> (N, D) features."""
        return {split: morgan_counts(part.mols) for split, part in self.parts.items()}

    def known(self) -> KnownMolecules:
        """The training molecules, to be kept with the model."""
        part = self.parts["train"]
        return KnownMolecules(np.array(part.ids), morgan_bits(part.mols))

    def values(self, *, n_bootstrap: int, seed: int) -> dict[str, RegressionScores]:
        """Ridge regression of each quantity with enough known values, in its own unit."""
        out = {}
        for i, name in enumerate(self.names):
            x, y, groups = [], [], []
            for split, part in self.parts.items():
                rows_N = np.isfinite(part.values[:, i])
                x.append(self.counts[split][rows_N])
                y.append(part.values[rows_N, i])
                groups.append(part.groups[rows_N])
            if min(map(len, y)) >= MIN_ROWS:
                guess, _ = ridge(x[0], y[0], x[1], y[1], x[2])
                out[name] = regression_scores(guess, y[2], groups_N=groups[2], n_bootstrap=n_bootstrap, seed=seed)
        return out

    def labels(self, *, n_bootstrap: int, seed: int) -> ClassificationScores:
        """Logistic regression of each label, one strength for all; a label without both classes is not scored."""
        train, val, test = (self.parts[split] for split in SPLITS)
        x: list[Any] = [self.counts[split] for split in SPLITS]  # float32: a probe computes in what it is given
        probe = LinearProbe().chosen(x[0], train.values, x[1], val.values)
        return classification_scores(
            probe.scores(x[0], train.values, x[2]), test.values, self.names, groups_N=test.groups,
            n_bootstrap=n_bootstrap, seed=seed, split="test",
        )  # fmt: skip
