"""Property probes: one ridge regression per kind of features, same molecules, same scaffold splits, same search.

Shape legend: N = molecules, R = training molecules, D = features, A = strengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.tables import hash_share
from core.errors import DataError
from domains.molecules.graphs.fragments import scaffold
from domains.molecules.tasks.ridge import ridge

Array = NDArray[np.floating]
Values = NDArray[np.float64]
Rows = NDArray[np.int64]
SHARES = (0.8, 0.9)  # ends of training and validation


@dataclass(frozen=True, slots=True)
class Difference:
    """RMSE of one kind of features minus that of another, per seed; below 0: the first is better."""

    values: tuple[float, ...]

    def line(self) -> str:
        """Mean, standard deviation over the splits, and in how many of them the first is better."""
        lower = sum(value < 0 for value in self.values)
        spread = f"{np.mean(self.values):+.3f} +- {np.std(self.values):.3f}"
        return f"RMSE {spread}, lower in {lower} of {len(self.values)} splits"


@dataclass(frozen=True, slots=True)
class Figures:
    """One entry per seed. rmse: in the unit of the property. r2: 1 - squared error / variance of the test molecules."""

    rmse: tuple[float, ...]
    r2: tuple[float, ...]

    def less(self, other: Figures) -> Difference:
        """On the same splits."""
        return Difference(tuple(a - b for a, b in zip(self.rmse, other.rmse, strict=True)))

    def line(self) -> str:
        """Means and standard deviations over the seeds."""
        shown = (f"{name} {np.mean(v):.3f} +- {np.std(v):.3f}" for name, v in (("RMSE", self.rmse), ("R2", self.r2)))
        return "   ".join(shown)


def scaffold_parts(mols: Sequence[object], seed: int) -> tuple[Rows, Rows, Rows]:
    """Row numbers of training, validation and test: scaffolds in a random order by `seed`, 80 / 10 / 10 of them.

    Every molecule without rings is a scaffold of its own.
    """
    keys = [scaffold(mol) or f"acyclic {row}" for row, mol in enumerate(mols)]
    share_N = np.array([hash_share(key, salt=str(seed)) for key in keys])
    rows = np.arange(len(keys))
    parts = share_N < SHARES[0], (share_N >= SHARES[0]) & (share_N < SHARES[1]), share_N >= SHARES[1]
    return rows[parts[0]], rows[parts[1]], rows[parts[2]]


def ridge_figures(features: Array | Sequence[Array], y_N: Values, parts: Sequence[tuple[Rows, Rows, Rows]]) -> Figures:
    """Ridge regression on standardised features; strength chosen on validation rows, for each split anew.

    features: (N, D), or one such matrix for each split (encoders of several seeds).
    Raises DataError when a split has too few molecules to fit or to score.
    """
    rmse, r2 = [], []
    for i, (train, val, test) in enumerate(parts):
        x_ND = features if isinstance(features, np.ndarray) else features[i % len(features)]
        if min(len(train), len(val), len(test)) < 3:
            raise DataError(
                f"property probe: a split has {len(train)} / {len(val)} / {len(test)} molecules; 3 are needed"
            )
        guess, _ = ridge(x_ND[train], y_N[train], x_ND[val], y_N[val], x_ND[test])
        error = np.mean((guess - y_N[test]) ** 2)
        rmse.append(float(np.sqrt(error)))
        r2.append(float(1 - error / np.var(y_N[test])))
    return Figures(tuple(rmse), tuple(r2))


def compare(
    features: Mapping[str, Array | Sequence[Array]], y_N: Values, mols: Sequence[object], *, seeds: int
) -> dict[str, Figures]:
    """Figures of every kind of features on the same `seeds` scaffold splits."""
    parts = [scaffold_parts(mols, seed) for seed in range(seeds)]
    return {name: ridge_figures(found, y_N, parts) for name, found in features.items()}
