"""Graphs of molecules: equal to the plain path and to the Open Graph Benchmark's, bond by bond."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rdkit")

from core.errors import ConfigError, DataError
from domains.molecules.data.shipped import nci, nibr, quinolones, wehi
from domains.molecules.graphs import properties
from domains.molecules.graphs.featurise import graph_of, graph_of_molecule, graphs_of
from domains.molecules.graphs.smiles_bonds import smiles_bonds
from domains.molecules.graphs.vocabulary import HU2, OGB9, check_same, vocabulary
from domains.molecules.io import read_molecule
from domains.molecules.io.rdkit import chem, silent
from domains.molecules.policy import MoleculePolicy

ODD = [
    "C", "[Na+].[Cl-]",
    "C*C", "[CH3]", "[2H]C([2H])O", "O=S(=O)(O)O", "C[N+](C)(C)C", "[Fe+2].[O-]C=O", 
    "CP(C)(C)(C)C",
    "C1CC%10CCCC1C%10", "c1ccc2ccccc2c1", "F/C=C/F", "F/C=C\\F", "C[C@H](N)C(=O)O", "[nH]1cccc1", "C#N", "N#N",
    "[H][H]",
    "[H]OC([H])([H])[H]", "C[C@@H](O)/C=C/C", "B(O)O", "[SiH4]", "C[Hg]C", "CN1C=CC=C1", "O=c1cc[nH]cc1",
    "S(=O)(=O)(F)F",
    "[13CH4]", "CC(C)(C)OO", "n1cc[nH]c1", "[O-][n+]1ccccc1", "C=1CCCCC=1", "c1ccccc1-c1ccccc1", "[Cu]",
]  # fmt: skip


def some(count: int) -> list[str]:
    """Shipped molecules, evenly from four sources, half of them written anew from a random atom."""
    found: list[str] = []
    for read in (nci, wehi, nibr, quinolones):
        texts = [text for _, text in read()]
        found += texts[:: max(1, len(texts) // (count // 4))]
    Chem = chem()
    with silent():
        mols = [Chem.MolFromSmiles(text) for text in found[::2]]
    return found + [Chem.MolToSmiles(mol, doRandom=True) for mol in mols if mol is not None]


def plain(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same facts with a question to RDKit for each atom and bond."""
    with silent():
        mol = chem().MolFromSmiles(text)
    atoms = [properties.atom_properties(atom) for atom in mol.GetAtoms()]
    ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]
    bonds = [properties.bond_properties(bond) for bond in mol.GetBonds()]
    edges = [pair for a, b in ends for pair in ((a, b), (b, a))]
    features = [row for row in bonds for _ in range(2)]
    return np.array(atoms), np.array(edges, int).reshape(-1, 2).T, np.array(features, int).reshape(-1, 4)


def test_the_quick_path_equals_the_plain_one():
    texts = ODD + some(400)
    for text, graph in zip(texts, graphs_of(texts, OGB9), strict=True):
        if isinstance(graph, DataError):
            with silent():
                assert chem().MolFromSmiles(text) is None
            continue
        atoms, edges, bonds = plain(text)
        np.testing.assert_array_equal(graph.atoms, atoms, err_msg=text)
        np.testing.assert_array_equal(graph.edges, edges, err_msg=text)
        np.testing.assert_array_equal(graph.bonds, bonds[:, :3], err_msg=text)


def test_unusual_bonds_and_metals_among_others_change_nothing():
    odd = ["C[N+]1=CC=CC=C1.Cl[Cu](Cl)(N)N", "N->[Cu]", "C$C", "Cl[Hg]C1=CC=C(Cl)S1", "[Fe]1(C=C)(N)O1",
           "CC=CC=C[N+]([O-])=O", "O=C1C=CC(=O)C=C1", "C=C[S](=O)(=O)C=C", "CP(=C)(C)c1ccccc1", "C=[N+]=[N-]",
           "O[As](=O)(O)c1ccccc1", "C/C=C/C=O.[Zn]", "*C=CC=O", "C=CB(O)O", "[CH2]C=C", "C=C[Si](C)(C)C=C"]  # fmt: skip
    for texts in (odd, odd[::-1], [text for text in odd for _ in range(2)]):
        for text, graph in zip(texts, graphs_of(texts, OGB9), strict=True):
            if isinstance(graph, DataError):
                continue
            atoms, edges, bonds = plain(text)
            np.testing.assert_array_equal(graph.atoms, atoms, err_msg=text)
            np.testing.assert_array_equal(graph.edges, edges, err_msg=text)
            np.testing.assert_array_equal(graph.bonds, bonds[:, :3], err_msg=text)


def test_features_equal_those_of_ogb():
    features = pytest.importorskip("ogb.utils").smiles2graph
    texts = [text for text in some(200) if "*" not in text]
    for text, graph in zip(texts, graphs_of(texts, OGB9), strict=True):
        if not isinstance(graph, DataError):
            theirs = features(text)
            np.testing.assert_array_equal(graph.atoms, theirs["node_feat"], err_msg=text)
            np.testing.assert_array_equal(graph.edges, theirs["edge_index"], err_msg=text)
            np.testing.assert_array_equal(graph.bonds, theirs["edge_feat"], err_msg=text)


def test_the_example_of_the_ogb_documentation():
    graph = graph_of("Cl[C@H](/C=C/C)Br", OGB9)
    assert graph.atoms[1].tolist() == [5, 2, 4, 5, 1, 0, 2, 0, 0]
    assert graph.bonds[4].tolist() == [1, 2, 0]  # the third bond, both ways: rows 4 and 5


def test_hu_features_of_a_small_molecule_by_hand():
    graph = graph_of("C/C=C\\O", HU2)
    assert graph.atoms.tolist() == [[5, 0], [5, 0], [5, 0], [7, 0]]
    assert graph.edges.tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
    assert graph.bonds[:, 0].tolist() == [0, 0, 1, 1, 0, 0]
    assert graph.bonds[2].tolist() == [1, 0]
    assert graph.bonds[0, 1] != graph.bonds[4, 1]  # the two single bonds point opposite ways


def test_one_atom_has_a_graph_without_edges():
    graph = graph_of("[Na+]", HU2)
    assert graph.atoms.shape == (1, 2)
    assert graph.edges.shape == (2, 0)
    assert graph.bonds.shape == (0, 2)


def test_a_batch_gives_what_single_molecules_give():
    texts = some(40)
    for text, graph in zip(texts, graphs_of(texts, OGB9), strict=True):
        if not isinstance(graph, DataError):
            alone = graph_of(text, OGB9)
            np.testing.assert_array_equal(graph.atoms, alone.atoms)
            np.testing.assert_array_equal(graph.bonds, alone.bonds)


def test_a_policy_that_changes_atoms_reads_them_from_the_molecule():
    graph = graph_of("CCO.[Na+].[Cl-]", HU2, MoleculePolicy(fragments="largest"))
    np.testing.assert_array_equal(graph.atoms, graph_of("CCO", HU2).atoms)
    dropped = graph_of("C[C@H](N)C(=O)O", HU2, MoleculePolicy(stereo="drop"))
    assert dropped.atoms[:, 1].tolist() == [0] * 6


@pytest.mark.parametrize("text", ["CCO", "C1CC1", "C12CC1C2", "C(C)(C)C.CC", "c1ccccc1-c2ccccc2", "C=1CCCCC1"])
def test_bonds_read_off_the_string_are_those_of_rdkit(text):
    mol = chem().MolFromSmiles(text)
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]
    read = smiles_bonds(text)
    assert read is not None
    assert (read[0], list(zip(read[1], read[2], strict=True))) == (mol.GetNumAtoms(), bonds)


@pytest.mark.parametrize("text", ["[Cu]C", "C*C", "C$C", "C1CC", "CC)C", "C~C"])
def test_what_the_string_does_not_settle_is_left_to_rdkit(text):
    assert smiles_bonds(text) is None


def test_a_molfile_gives_the_graph_of_its_smiles():
    Chem = chem()
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1")
    graph, other = graph_of(Chem.MolToMolBlock(mol), OGB9), graph_of_molecule(mol, OGB9)
    np.testing.assert_array_equal(graph.atoms, other.atoms)
    np.testing.assert_array_equal(graph.bonds, other.bonds)


def test_vocabularies_do_not_mix():
    with pytest.raises(ConfigError, match=r"there is no 'hu3'; did you mean 'hu2'"):
        vocabulary("hu3")
    with pytest.raises(ConfigError, match=r"made with vocabulary 'ogb9' .*weights are for 'hu2'"):
        check_same("ogb9", "hu2", where="run")
    check_same("hu2", "hu2", where="run")


def test_an_unreadable_molecule_keeps_its_place():
    good, bad, last = graphs_of(["CC", "C(C)(C)(C)(C)C", "CO"])
    assert isinstance(bad, DataError)
    assert "C(C)(C)(C)(C)C" in str(bad)
    assert not isinstance(good, DataError)
    assert not isinstance(last, DataError)
    assert read_molecule("CO").GetNumAtoms() == len(last.atoms)
