"""Bemis-Murcko scaffolds, BRICS fragments, and the split that keeps scaffolds together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import ConfigError
from domains.molecules.io.rdkit import chem


def scaffold(mol: Any, *, chirality: bool = False, generic: bool = False) -> str:
    """Bemis-Murcko scaffold as canonical SMILES: rings and what links them; "" for a molecule without rings.

    chirality: whether stereo counts (Hu et al. do, DeepChem and OpenBioMed do not). generic: all atoms carbon, all
    bonds single.
    """
    from rdkit.Chem.Scaffolds import MurckoScaffold

    core = MurckoScaffold.GetScaffoldForMol(mol)
    if generic:
        core = MurckoScaffold.GetScaffoldForMol(MurckoScaffold.MakeScaffoldGeneric(core))
    return str(chem().MolToSmiles(core, isomericSmiles=chirality))


def brics_fragments(mol: Any) -> list[str]:
    """BRICS fragments (Degen et al. 2008), sorted, with the numbered attachment points `[n*]` they were cut at."""
    from rdkit.Chem import BRICS

    return sorted(BRICS.BRICSDecompose(mol))


def scaffold_split(
    scaffolds: Sequence[str], shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> tuple[list[int], list[int], list[int]]:
    """Indices of train, val and test: sets of equal scaffold, large ones first, filled greedily up to the shares.

    Sets are ordered by size, then by their first index, both descending, as in the split of Hu et al. and DeepChem;
    molecules without rings share the empty scaffold. Deterministic. Raises ConfigError for shares that do not sum to 1.
    """
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise ConfigError(f"shares: {shares} are three numbers that sum to 1")
    sets: dict[str, list[int]] = {}
    for index, name in enumerate(scaffolds):
        sets.setdefault(name, []).append(index)
    ordered = sorted(sets.values(), key=lambda members: (len(members), members[0]), reverse=True)
    to_train, to_val = shares[0] * len(scaffolds), (shares[0] + shares[1]) * len(scaffolds)
    train: list[int] = []
    val: list[int] = []
    test: list[int] = []
    for members in ordered:
        if len(train) + len(members) <= to_train:
            train += members
        elif len(train) + len(val) + len(members) <= to_val:
            val += members
        else:
            test += members
    return train, val, test
