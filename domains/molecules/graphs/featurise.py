"""Molecules to graphs, many at a time.

What an atom is follows from few facts: RDKit's hash of its surroundings (element, degree, hydrogens, charge, isotope,
ring), the orders of its bonds, and whether one of them is conjugated. Each combination is asked of RDKit once, atom by
atom (`properties`), and looked up from then on; the facts themselves come as one array per molecule.
Shape legend: N = atoms and M = bonds of all molecules together, E = 2M.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from domains.molecules.graphs import properties
from domains.molecules.graphs.conjugation import conjugated
from domains.molecules.graphs.smiles_bonds import smiles_bonds
from domains.molecules.graphs.vocabulary import ATOM_PROPERTIES, HU2, Graph, Vocabulary
from domains.molecules.io.parse import read_each, read_molecule
from domains.molecules.policy import AS_WRITTEN, MoleculePolicy

CHUNK = 128  # molecules whose arrays are handled together: more no longer fit the processor's cache
_ORDER_TO_TYPE = np.array([4, 4, 0, 3, 1, 4, 2], np.int16)  # twice the bond order -> row of the bond type
_AROMATIC = 3
_UNUSUAL = -1


class _Known:
    """Codes in rising order, and the nine properties of each."""

    def __init__(self) -> None:
        self.codes, self.properties_KP = np.array([_UNUSUAL]), np.zeros((1, len(ATOM_PROPERTIES)), np.int64)

    def add(self, codes: np.ndarray, properties_CP: np.ndarray) -> None:
        at = np.searchsorted(self.codes, codes)
        self.codes = np.insert(self.codes, at, codes)
        self.properties_KP = np.insert(self.properties_KP, at, properties_CP, axis=0)


_known = _Known()
_Bonds = tuple[int, list[int], list[int]]  # of `smiles_bonds`


class _Facts(NamedTuple):
    """What RDKit says of a molecule at once, and what had to be asked atom by atom (None: nothing).

    usual: properties follow from codes, except chirality (in `atoms`, one number each), stereo and direction of bonds
    (in `bonds`, two). Otherwise these are all properties of atoms and bonds.
    """

    hashes: Any
    first: list[int]  # atoms of the bonds
    second: list[int]
    orders_NN: np.ndarray  # noqa: N815
    usual: bool
    asked: tuple[list[Any], list[Any]] | None


def graph_of(text: str, vocabulary: Vocabulary = HU2, policy: MoleculePolicy = AS_WRITTEN) -> Graph:
    """The graph of one string (SMILES, InChI, molfile block). Raises DataError as `read_molecule` does."""
    mol = read_molecule(text, policy)
    return _graphs([_facts(mol, *_bonds([text], policy)[0])], lambda _: mol, vocabulary)[0]


def graphs_of(
    texts: Sequence[str], vocabulary: Vocabulary = HU2, policy: MoleculePolicy = AS_WRITTEN
) -> list[Graph | DataError]:
    """A graph or its error for every string, in order."""
    out: list[Graph | DataError] = []
    with _collector_paused():
        for start in range(0, len(texts), CHUNK):
            out += _chunk(texts[start : start + CHUNK], vocabulary, policy)
    return out


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without the search for cycles, of which none arise here: it takes a twentieth of the time of many graphs."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _chunk(texts: Sequence[str], vocabulary: Vocabulary, policy: MoleculePolicy) -> list[Graph | DataError]:
    out: list[Any] = []
    facts: list[_Facts] = []
    rows: list[int] = []
    for found, (bonds, flat) in zip(read_each(texts, policy), _bonds(texts, policy), strict=True):
        if isinstance(found, DataError):
            out.append(found)
        else:  # the molecule itself is dropped: its memory is warm for the next
            facts.append(_facts(found, bonds, flat))
            rows.append(len(out))
            out.append(None)
    for row, graph in zip(
        rows, _graphs(facts, lambda i: read_molecule(texts[rows[i]], policy), vocabulary), strict=True
    ):
        out[row] = graph
    return out


def graph_of_molecule(mol: Any, vocabulary: Vocabulary = HU2) -> Graph:
    """The graph of an RDKit molecule, its atoms and bonds in their order."""
    return _graphs([_facts(mol, None, False)], lambda _: mol, vocabulary)[0]


def _bonds(texts: Sequence[object], policy: MoleculePolicy) -> list[tuple[_Bonds | None, bool]]:
    """Bonds as the strings have them (None where they do not tell), and whether they are SMILES without stereo."""
    if not policy.changes_nothing:
        return [(None, False)] * len(texts)
    found: list[tuple[_Bonds | None, bool]] = []
    for text in texts:
        if isinstance(text, str) and len(text) <= policy.max_length:
            stereo = "@" in text or "/" in text or "\\" in text or "\n" in text  # an InChI has slashes
            found.append((None if stereo else smiles_bonds(text), not stereo))
        else:
            found.append((None, False))
    return found


def _graphs(facts: list[_Facts], read: Callable[[int], Any], vocabulary: Vocabulary) -> list[Graph]:
    """read: row -> its molecule, for what was never met before."""
    if not facts:
        return []
    atoms_NP, atom_ends, ends_2M, bonds_MP, bond_ends = _joined(facts, read)
    atoms_NF = vocabulary.atoms(atoms_NP).astype(np.int16)
    bonds_EF = np.repeat(vocabulary.bonds(bonds_MP), 2, axis=0).astype(np.int16)
    edges_2E = np.stack([ends_2M, ends_2M[::-1]], axis=2).reshape(2, -1).astype(np.int32)
    graphs, name = [], vocabulary.name
    atom_at = bond_at = 0
    for atom_end, bond_end in zip(atom_ends.tolist(), (2 * bond_ends).tolist(), strict=True):
        graphs.append(
            Graph(atoms_NF[atom_at:atom_end], edges_2E[:, bond_at:bond_end], bonds_EF[bond_at:bond_end], name)
        )
        atom_at, bond_at = atom_end, bond_end
    return graphs


def _facts(mol: Any, read: _Bonds | None, flat: bool) -> _Facts:
    """read, flat: what `_bonds` says of the string."""
    adjacency, hashes_of = _readers()
    hashes, orders_NN = hashes_of(mol, True), adjacency(mol, True)
    if read is not None and flat and read[0] == len(hashes) and len(read[1]) == mol.GetNumBonds():
        return _Facts(hashes, read[1], read[2], orders_NN, True, None)
    bonds = properties.bonds_of(mol)
    first, second = [b.GetBeginAtomIdx() for b in bonds], [b.GetEndAtomIdx() for b in bonds]
    usual = all(map(properties.is_usual, bonds))
    asked = None if usual and flat else _asked(properties.atoms_of(mol), bonds, usual)
    return _Facts(hashes, first, second, orders_NN, usual, asked)


def _asked(atoms: list[Any], bonds: list[Any], usual: bool) -> tuple[list[Any], list[Any]]:
    if not usual:
        return [properties.atom_properties(a) for a in atoms], [properties.bond_properties(b) for b in bonds]
    stereo = [(properties.bond_stereo(b), properties.bond_direction(b)) for b in bonds]
    return [properties.chirality(a) for a in atoms], stereo


@cache
def _readers() -> tuple[Callable[..., Any], Callable[..., Any]]:
    from rdkit.Chem import GetAdjacencyMatrix, rdMolDescriptors

    return GetAdjacencyMatrix, rdMolDescriptors.GetConnectivityInvariants


def _joined(
    facts: list[_Facts], read: Callable[[int], Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Atom properties (N, 9), ends of molecules among atoms, bonds (2, M) by number of atom in its molecule, their
    properties (M, 4), and ends of molecules among bonds."""
    atoms_B = np.array([len(fact.hashes) for fact in facts])
    bonds_B = np.array([len(fact.first) for fact in facts])
    atom_ends, bond_ends = atoms_B.cumsum(), bonds_B.cumsum()
    hash_N = np.fromiter(chain.from_iterable(fact.hashes for fact in facts), np.int64, int(atom_ends[-1]))
    ends_2M = np.empty((2, int(bond_ends[-1])), np.int64)
    ends_2M[0] = np.fromiter(chain.from_iterable(fact.first for fact in facts), np.int64, ends_2M.shape[1])
    ends_2M[1] = np.fromiter(chain.from_iterable(fact.second for fact in facts), np.int64, ends_2M.shape[1])
    cell_M = (
        np.repeat((atoms_B**2).cumsum() - atoms_B**2, bonds_B) + ends_2M[0] * np.repeat(atoms_B, bonds_B) + ends_2M[1]
    )
    order_M = (2 * np.concatenate([fact.orders_NN.reshape(-1) for fact in facts])[cell_M]).astype(np.int64)
    ends_M2 = (ends_2M + np.repeat(atom_ends - atoms_B, bonds_B)).T  # numbered through all molecules
    bonds_MP = np.zeros((len(ends_M2), 4), np.int64)
    bonds_MP[:, 0] = _ORDER_TO_TYPE[np.clip(order_M, 0, 6)]
    aromatic_M = bonds_MP[:, 0] == _AROMATIC
    rich_N = np.zeros(len(hash_N), bool)  # atoms with a bond above single
    rich_N[ends_M2[order_M > 2].reshape(-1)] = True
    bonds_MP[:, 2] = aromatic_M
    code_N = hash_N + (_sums(ends_M2, order_M + 64 * aromatic_M, len(hash_N)) << 33)
    asked_M = ~aromatic_M & rich_N[ends_M2].any(axis=1)  # no other bond can be conjugated
    asked_M &= np.repeat([fact.usual for fact in facts], bonds_B)
    rows = np.flatnonzero(asked_M)
    bonds_MP[rows, 2] = conjugated(read, code_N, ends_M2, order_M, rows, bond_ends - bonds_B)
    code_N += (_sums(ends_M2, bonds_MP[:, 2], len(hash_N)) > 0).astype(np.int64) << 32
    atoms_NP = _looked_up(read, code_N, atom_ends, np.repeat([fact.usual for fact in facts], atoms_B))
    for i, fact in enumerate(facts):
        if fact.asked is not None:
            places = (slice(atom_ends[i] - atoms_B[i], atom_ends[i]), slice(bond_ends[i] - bonds_B[i], bond_ends[i]))
            _fill(atoms_NP[places[0]], bonds_MP[places[1]], fact)
    return atoms_NP, atom_ends, ends_2M, bonds_MP, bond_ends


def _sums(ends_M2: np.ndarray, value_M: np.ndarray, atoms: int) -> np.ndarray:
    """Sum of a value of bonds over each atom's bonds."""
    return np.bincount(ends_M2.reshape(-1), np.repeat(value_M, 2), minlength=atoms).astype(np.int64)


def _looked_up(
    read: Callable[[int], Any], code_N: np.ndarray, atom_ends: np.ndarray, usual_N: np.ndarray
) -> np.ndarray:
    """(N, 9) properties by code; a code that is new is asked of RDKit and kept, without its chirality. Zeros for atoms
    that are not usual."""
    code_N = np.where(usual_N, code_N, _UNUSUAL)
    row_N = np.searchsorted(_known.codes, code_N).clip(max=len(_known.codes) - 1)
    new = np.flatnonzero(_known.codes[row_N] != code_N)
    if len(new):
        codes, first = np.unique(code_N[new], return_index=True)
        found = []
        for atom in new[first].tolist():
            owner = int(np.searchsorted(atom_ends, atom, side="right"))
            start = int(atom_ends[owner - 1]) if owner else 0
            found.append(properties.atom_properties(read(owner).GetAtomWithIdx(atom - start)))
            found[-1][1] = 0
        _known.add(codes, np.array(found))
        row_N = np.searchsorted(_known.codes, code_N)
    return _known.properties_KP[row_N]


def _fill(atoms_NP: np.ndarray, bonds_MP: np.ndarray, fact: _Facts) -> None:
    assert fact.asked is not None
    for array_XP, found, stereo in ((atoms_NP, fact.asked[0], [1]), (bonds_MP, fact.asked[1], [1, 3])):
        if found:
            columns = stereo if fact.usual else range(array_XP.shape[1])
            array_XP[:, columns] = np.array(found).reshape(len(found), len(columns))
