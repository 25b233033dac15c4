"""Scaffolds, fragments, splits and shapes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rdkit")

from core.errors import ConfigError, DataError
from domains.molecules.graphs import brics_fragments, conformer, scaffold, scaffold_split
from domains.molecules.io import read_molecule
from domains.molecules.io.rdkit import chem


def test_scaffolds_of_known_molecules():
    assert scaffold(read_molecule("CC(=O)Oc1ccccc1C(=O)O")) == "c1ccccc1"
    assert scaffold(read_molecule("CCCC")) == ""
    assert scaffold(read_molecule("Cc1ccncc1"), generic=True) == "C1CCCCC1"
    text = "C[C@H]1CC[C@@H](C1)C1CC1"
    assert "@" not in scaffold(read_molecule(text))


def test_brics_fragments_build_the_molecule_again():
    from rdkit.Chem import BRICS

    Chem = chem()
    mol = read_molecule("CC(=O)Nc1ccc(O)cc1")
    fragments = brics_fragments(mol)
    assert all("*" in fragment for fragment in fragments)
    built = BRICS.BRICSBuild([Chem.MolFromSmiles(f) for f in fragments], scrambleReagents=False)
    assert Chem.MolToSmiles(mol) in {Chem.MolToSmiles(m) for _, m in zip(range(200), built)}


def test_the_split_is_that_of_the_papers_written_out():
    """Sets by (size, first index) descending; a set goes to the first split that it does not overfill."""
    names = ["a", "b", "a", "c", "a", "d", "b", "e", "", ""]
    # sets: a [0 2 4], "" [8 9], b [1 6], then e [7], d [5], c [3]; ends at 6 and 8
    assert scaffold_split(names, (0.6, 0.2, 0.2)) == ([0, 2, 4, 8, 9, 7], [1, 6], [5, 3])
    train, val, test = scaffold_split([str(i // 3) for i in range(300)])
    assert (len(train), len(val), len(test)) == (240, 30, 30)
    assert sorted(train + val + test) == list(range(300))
    with pytest.raises(ConfigError, match="three numbers that sum to 1"):
        scaffold_split(names, (0.5, 0.2, 0.2))


def test_a_conformer_is_the_same_for_the_same_seed_and_has_bond_lengths():
    mol = read_molecule("CC(=O)Nc1ccc(O)cc1")
    one, two, other = conformer(mol, seed=3), conformer(mol, seed=3), conformer(mol, seed=4)
    assert one.shape == (11, 3)
    assert np.array_equal(one, two)
    assert not np.allclose(one, other)
    np.testing.assert_allclose(one.mean(axis=0), 0, atol=1e-5)
    for bond in mol.GetBonds():
        length = np.linalg.norm(one[bond.GetBeginAtomIdx()] - one[bond.GetEndAtomIdx()])
        assert 1.1 < length < 1.6  # angstrom
    assert conformer(mol, seed=3, hydrogens=True).shape == (20, 3)


def test_a_shape_that_cannot_be_is_an_error_with_the_molecule():
    with pytest.raises(DataError, match=r"'C{20,}.*atoms with hydrogen, over 200"):
        conformer(read_molecule("C" * 100))
