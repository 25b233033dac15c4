"""Molecules to graphs, many at a time.

What an atom is follows from few facts: RDKit's hash of its surroundings (element, degree, hydrogens, charge, isotope,
ring), the orders of its bonds, and whether one of them is conjugated. Each combination is asked of RDKit once, atom by
atom (`properties`), and looked up from then on; the facts themselves come as one array per molecule.
Shape legend: N = atoms and M = bonds of all molecules together, E = 2M.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from core.errors import DataError
from domains.molecules.graphs import properties
from domains.molecules.graphs.smiles_bonds import smiles_bonds
from domains.molecules.graphs.vocabulary import ATOM_PROPERTIES, HU2, Graph, Vocabulary
from domains.molecules.io.parse import read_many, read_molecule
from domains.molecules.policy import AS_WRITTEN, MoleculePolicy

CHUNK = 64  # molecules whose arrays are handled together: more no longer fit the processor's cache
_ORDER_TO_TYPE = np.array([4, 4, 0, 3, 1, 4, 2], np.int16)  # twice the bond order -> row of the bond type
_AROMATIC = 3
_known: dict[int, list[int]] = {}  # combination of facts -> the nine properties


def graph_of(text: str, vocabulary: Vocabulary = HU2, policy: MoleculePolicy = AS_WRITTEN) -> Graph:
    """The graph of one string (SMILES, InChI, molfile block). Raises DataError as `read_molecule` does."""
    mol = read_molecule(text, policy)
    return _graphs([mol], [text if policy.changes_nothing else ""], vocabulary)[0]


def graphs_of(
    texts: Sequence[str], vocabulary: Vocabulary = HU2, policy: MoleculePolicy = AS_WRITTEN
) -> list[Graph | DataError]:
    """A graph or its error for every string, in order."""
    out: list[Graph | DataError] = []
    for start in range(0, len(texts), CHUNK):
        chunk = list(texts[start : start + CHUNK])
        found = read_many(chunk, policy)
        good = [i for i, mol in enumerate(found) if not isinstance(mol, DataError)]
        made = _graphs([found[i] for i in good], [chunk[i] if policy.changes_nothing else "" for i in good], vocabulary)
        filled: list[Any] = found
        for i, graph in zip(good, made, strict=True):
            filled[i] = graph
        out += filled
    return out


def graph_of_molecule(mol: Any, vocabulary: Vocabulary = HU2) -> Graph:
    """The graph of an RDKit molecule, its atoms and bonds in their order."""
    return _graphs([mol], [""], vocabulary)[0]


def _graphs(mols: list[Any], texts: list[str], vocabulary: Vocabulary) -> list[Graph]:
    if not mols:
        return []
    from rdkit.Chem import GetAdjacencyMatrix, rdMolDescriptors

    hashes = rdMolDescriptors.GetConnectivityInvariants
    facts = [_bulk(mol, text, hashes(mol, True), GetAdjacencyMatrix) for mol, text in zip(mols, texts, strict=True)]
    atoms_NP, atom_ends, ends_2M, bonds_MP, bond_ends = _joined(mols, texts, facts)
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


def _bulk(mol: Any, text: str, hashes: Any, adjacency: Any) -> tuple[Any, list[int], list[int], np.ndarray, bool]:
    """(hash per atom, first and second atom of each bond, adjacency matrix of bond orders, whether the string gave
    the bonds)."""
    bonds = mol.GetNumBonds()
    read = smiles_bonds(text) if text else None
    if read is not None and read[0] == len(hashes) and len(read[1]) == bonds:
        first, second = read[1], read[2]
        plain = True
    else:
        listed = properties.bonds_of(mol)
        first, second = [b.GetBeginAtomIdx() for b in listed], [b.GetEndAtomIdx() for b in listed]
        plain = False
    return hashes, first, second, adjacency(mol, True), plain


def _joined(
    mols: list[Any], texts: list[str], facts: list[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Atom properties (N, 9), ends of molecules among atoms, bonds (2, M) by number of atom in its molecule, their
    properties (M, 4), and ends of molecules among bonds."""
    atoms_B = np.array([len(fact[0]) for fact in facts])
    bonds_B = np.array([len(fact[1]) for fact in facts])
    atom_ends, bond_ends = atoms_B.cumsum(), bonds_B.cumsum()
    hash_N = np.fromiter(chain.from_iterable(fact[0] for fact in facts), np.int64, int(atom_ends[-1]))
    ends_2M = np.empty((2, int(bond_ends[-1])), np.int64)
    for side in (0, 1):
        listed = chain.from_iterable(fact[1 + side] for fact in facts)
        ends_2M[side] = np.fromiter(listed, np.int64, ends_2M.shape[1])
    cell_M = (
        np.repeat((atoms_B**2).cumsum() - atoms_B**2, bonds_B) + ends_2M[0] * np.repeat(atoms_B, bonds_B) + ends_2M[1]
    )
    order_M = (2 * np.concatenate([fact[3].reshape(-1) for fact in facts])[cell_M]).astype(np.int64)
    ends_M2 = (ends_2M + np.repeat(atom_ends - atoms_B, bonds_B)).T  # numbered through all molecules
    bonds_MP = np.zeros((len(ends_M2), 4), np.int64)
    bonds_MP[:, 0] = _ORDER_TO_TYPE[np.clip(order_M, 0, 6)]
    aromatic_M = bonds_MP[:, 0] == _AROMATIC
    rich_N = np.zeros(len(hash_N), bool)  # atoms with a bond above single
    rich_N[ends_M2[order_M > 2].reshape(-1)] = True
    bonds_MP[:, 2] = aromatic_M
    asked_M = ~aromatic_M & rich_N[ends_M2].any(axis=1)  # no other bond can be conjugated
    _ask_conjugation(mols, bonds_MP, asked_M, bond_ends)
    code_N = hash_N + (_sums(ends_M2, order_M + 64 * aromatic_M, len(hash_N)) << 33)
    code_N += (_sums(ends_M2, bonds_MP[:, 2], len(hash_N)) > 0).astype(np.int64) << 32
    atoms_NP = _looked_up(mols, code_N, atom_ends)
    _geometry(mols, texts, facts, atoms_NP, bonds_MP, atom_ends, bond_ends)
    return atoms_NP, atom_ends, ends_2M, bonds_MP, bond_ends


def _sums(ends_M2: np.ndarray, value_M: np.ndarray, atoms: int) -> np.ndarray:
    """Sum of a value of bonds over each atom's bonds."""
    return np.bincount(ends_M2.reshape(-1), np.repeat(value_M, 2), minlength=atoms).astype(np.int64)


def _ask_conjugation(mols: list[Any], bonds_MP: np.ndarray, asked_M: np.ndarray, bond_ends: np.ndarray) -> None:
    rows = np.flatnonzero(asked_M)
    owners = np.searchsorted(bond_ends, rows, side="right")
    starts = np.concatenate([[0], bond_ends])[owners]
    answers = [
        mols[owner].GetBondWithIdx(bond).GetIsConjugated()
        for owner, bond in zip(owners.tolist(), (rows - starts).tolist(), strict=True)
    ]
    bonds_MP[rows, 2] = answers


def _looked_up(mols: list[Any], code_N: np.ndarray, atom_ends: np.ndarray) -> np.ndarray:
    """(N, 9) properties by code; a code that is new is asked of RDKit and kept, without its chirality."""
    codes, seen_at, which_N = np.unique(code_N, return_index=True, return_inverse=True)
    table = np.empty((len(codes), len(ATOM_PROPERTIES)), np.int64)
    for row, (code, atom) in enumerate(zip(codes.tolist(), seen_at.tolist(), strict=True)):
        known = _known.get(code)
        if known is None:
            owner = int(np.searchsorted(atom_ends, atom, side="right"))
            start = int(atom_ends[owner - 1]) if owner else 0
            known = properties.atom_properties(mols[owner].GetAtomWithIdx(atom - start))
            known[1] = 0
            _known[code] = known
        table[row] = known
    return table[which_N]


def _geometry(
    mols: list[Any],
    texts: list[str],
    facts: list[Any],
    atoms_NP: np.ndarray,
    bonds_MP: np.ndarray,
    atom_ends: np.ndarray,
    bond_ends: np.ndarray,
) -> None:
    """Fill in chirality, double-bond stereo and direction where there can be any; redo what is not plain."""
    for i, (mol, text, fact) in enumerate(zip(mols, texts, facts, strict=True)):
        atom_at, bond_at = (int(ends[i - 1]) if i else 0 for ends in (atom_ends, bond_ends))
        if not fact[4]:
            atoms_NP[atom_at : atom_ends[i]] = [properties.atom_properties(atom) for atom in properties.atoms_of(mol)]
            if len(fact[1]):
                bonds_MP[bond_at : bond_ends[i]] = [
                    properties.bond_properties(bond) for bond in properties.bonds_of(mol)
                ]
            continue
        if "@" in text:
            atoms_NP[atom_at : atom_ends[i], 1] = [properties.chirality(atom) for atom in properties.atoms_of(mol)]
        if "/" in text or "\\" in text:
            pairs = [
                (properties.bond_stereo(bond), properties.bond_direction(bond)) for bond in properties.bonds_of(mol)
            ]
            bonds_MP[bond_at : bond_ends[i], 1], bonds_MP[bond_at : bond_ends[i], 3] = zip(*pairs, strict=True)
