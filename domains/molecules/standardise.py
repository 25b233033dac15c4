"""Salts, charges, stereo and tautomers as a policy says; keys under which equal molecules are found."""

from __future__ import annotations

from typing import Any

from core.errors import DataError
from domains.molecules.io.rdkit import chem
from domains.molecules.policy import MoleculePolicy


def standardised(mol: Any, text: str, policy: MoleculePolicy) -> Any:
    """`mol` under the policy; the same object when it asks for nothing. Raises DataError naming the string."""
    if ":" in text:
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
    if policy.changes_nothing:
        return mol
    from rdkit.Chem.MolStandardize import rdMolStandardize

    try:
        if policy.fragments == "largest":
            mol = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(mol)
        if policy.uncharge:
            mol = rdMolStandardize.Uncharger().uncharge(mol)
        if policy.tautomers == "canonical":
            chooser = rdMolStandardize.TautomerEnumerator()
            chooser.SetMaxTautomers(200)
            chooser.SetMaxTransforms(200)
            mol = chooser.Canonicalize(mol)
        if policy.stereo == "drop":
            chem().RemoveStereochemistry(mol)
    except (ValueError, RuntimeError) as err:
        raise DataError(f"{text[:60]!a}: cannot be standardised ({' '.join(str(err).split())})") from None
    return mol


def isomeric_key(mol: Any) -> str:
    """Canonical SMILES with stereo: equal molecules have equal keys, within one version of RDKit."""
    return str(chem().MolToSmiles(mol))


def skeleton_key(mol: Any) -> str:
    """Canonical SMILES without stereo and isotopes: stereoisomers share it."""
    return str(chem().MolToSmiles(mol, isomericSmiles=False))


def inchi_key(mol: Any) -> str:
    """InChIKey, which does not change between versions and merges some tautomers; "" where InChI has no name."""
    return str(chem().MolToInchiKey(mol))
