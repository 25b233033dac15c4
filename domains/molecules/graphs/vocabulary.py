"""What the integers of a molecular graph mean. Two vocabularies that must not mix, by name.

Column legend of properties: atoms Z, chirality, degree, charge, hydrogens, radicals, hybridisation, aromatic, ring;
bonds type, stereo, conjugated, direction. Shape legend: N = atoms, E = directed edges (twice the bonds).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError, nearest

ATOM_PROPERTIES = ("atomic_number", "chirality", "degree", "charge", "hydrogens", "radicals", "hybridisation",
                   "aromatic", "ring")  # fmt: skip
BOND_PROPERTIES = ("type", "stereo", "conjugated", "direction")
ATOM_SIZES = (119, 5, 12, 12, 10, 6, 6, 2, 2)  # of the OGB columns; the last row of the first seven is "anything else"
BOND_SIZES = (5, 6, 2, 3)


@dataclass(frozen=True, slots=True)
class Graph:
    """A molecule as a graph. atoms: (N, F) int16 features. edges: (2, E) int32, source and target; bond k is
    edges 2k and 2k+1, one each way. bonds: (E, G) int16 features of the edges. vocabulary: name of their meaning."""

    atoms: np.ndarray
    edges: np.ndarray
    bonds: np.ndarray
    vocabulary: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Which properties are columns, in which order, and how many rows a table of each needs.

    atom_mask: row of the first atom column that stands for a hidden atom, or None. bond_mask, self_loop: likewise.
    """

    name: str
    atom_columns: tuple[str, ...]
    atom_sizes: tuple[int, ...]
    bond_columns: tuple[str, ...]
    bond_sizes: tuple[int, ...]
    atom_mask: int | None = None
    bond_mask: int | None = None
    self_loop: int | None = None

    def atoms(self, properties_NP: np.ndarray) -> np.ndarray:
        """Features (N, F) from the nine properties (N, 9)."""
        return properties_NP[:, [ATOM_PROPERTIES.index(name) for name in self.atom_columns]]

    def bonds(self, properties_MP: np.ndarray) -> np.ndarray:
        """Features (M, G) from the four properties (M, 4)."""
        return properties_MP[:, [BOND_PROPERTIES.index(name) for name in self.bond_columns]]


class _Hu2(Vocabulary):
    """Hu's tables have three rows for chirality and four bond types: what does not fit is row 0."""

    def atoms(self, properties_NP: np.ndarray) -> np.ndarray:
        features = Vocabulary.atoms(self, properties_NP).copy()
        features[:, 1][features[:, 1] > 2] = 0
        return features

    def bonds(self, properties_MP: np.ndarray) -> np.ndarray:
        features = Vocabulary.bonds(self, properties_MP).copy()
        features[:, 0][features[:, 0] > 3] = 0
        return features


# Hu et al. 2020 (pretrain-gnns), also GraphMVP and MolFM: row Z - 1, 118 for anything else, 119 hidden
HU2 = _Hu2("hu2", ("atomic_number", "chirality"), (120, 3), ("type", "direction"), (6, 3), 119, 5, 4)
# Hu et al. 2021 (Open Graph Benchmark): nine atom columns and three bond columns
OGB9 = Vocabulary("ogb9", ATOM_PROPERTIES, ATOM_SIZES, ("type", "stereo", "conjugated"), BOND_SIZES[:3])
VOCABULARIES: dict[str, Vocabulary] = {v.name: v for v in (HU2, OGB9)}


def vocabulary(name: str) -> Vocabulary:
    """The vocabulary called `name`. Raises ConfigError with the nearest name."""
    if name not in VOCABULARIES:
        raise ConfigError(f"vocabulary: there is no '{name}'{nearest(name, VOCABULARIES)}")
    return VOCABULARIES[name]


def check_same(data: str, model: str, *, where: str) -> None:
    """Raises ConfigError that prints both when data and weights mean different things by their integers."""
    if data != model:
        raise ConfigError(
            f"{where}: the graphs are made with vocabulary '{data}' ({_columns(data)}), the weights are for "
            f"'{model}' ({_columns(model)}); give both the same"
        )


def _columns(name: str) -> str:
    known = vocabulary(name)
    return ", ".join(known.atom_columns) + "; " + ", ".join(known.bond_columns)
