"""Properties of atoms and bonds, asked of RDKit one by one: the plain path, which the fast one is tested against.

The rows are those of the Open Graph Benchmark (Hu et al. 2021); its last row of a column is "anything else".
"""

from __future__ import annotations

from functools import cache
from typing import Any

from domains.molecules.io.rdkit import chem


@cache
def _rows() -> tuple[dict[Any, int], ...]:
    """Row of each RDKit enumeration value: chirality, hybridisation, bond type, bond stereo, bond direction."""
    c = chem()
    chirality = ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER")
    stereo = ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY")
    return (
        {getattr(c.ChiralType, name): row for row, name in enumerate(chirality)},
        {getattr(c.HybridizationType, name): row for row, name in enumerate(("SP", "SP2", "SP3", "SP3D", "SP3D2"))},
        {getattr(c.BondType, name): row for row, name in enumerate(("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"))},
        {getattr(c.BondStereo, name): row for row, name in enumerate(stereo)},
        {c.BondDir.NONE: 0, c.BondDir.ENDUPRIGHT: 1, c.BondDir.ENDDOWNRIGHT: 2},
    )


def atoms_of(mol: Any) -> list[Any]:
    """The atoms of a molecule; by number, as iterating over `GetAtoms` takes RDKit twice as long."""
    return [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]


def bonds_of(mol: Any) -> list[Any]:
    """The bonds of a molecule, in order."""
    return [mol.GetBondWithIdx(i) for i in range(mol.GetNumBonds())]


def chirality(atom: Any) -> int:
    return _rows()[0].get(atom.GetChiralTag(), 4)


def atom_properties(atom: Any) -> list[int]:
    """The nine properties of an atom as rows of their tables."""
    number, degree, charge = atom.GetAtomicNum(), atom.GetTotalDegree(), atom.GetFormalCharge()
    hydrogens, radicals = atom.GetTotalNumHs(), atom.GetNumRadicalElectrons()
    return [
        number - 1 if 1 <= number <= 118 else 118,
        chirality(atom),
        min(degree, 11),
        charge + 5 if -5 <= charge <= 5 else 11,
        min(hydrogens, 9),
        min(radicals, 5),
        _rows()[1].get(atom.GetHybridization(), 5),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
    ]


def is_usual(bond: Any) -> bool:
    """Whether a bond is single, double, triple or aromatic, so that its order tells its type."""
    return bond.GetBondType() in _rows()[2]


def bond_stereo(bond: Any) -> int:
    return _rows()[3].get(bond.GetStereo(), 0)


def bond_direction(bond: Any) -> int:
    return _rows()[4].get(bond.GetBondDir(), 0)


def bond_properties(bond: Any) -> list[int]:
    """The four properties of a bond as rows of their tables."""
    kind = _rows()[2].get(bond.GetBondType(), 4)
    return [kind, bond_stereo(bond), int(bond.GetIsConjugated()), bond_direction(bond)]
