"""The graph made by rule: what it says is computed, entities have members, held-out molecules are not in it."""

import pytest

pytest.importorskip("rdkit")

from domains.molecules.describe import facts_of
from domains.molecules.io import read_molecule
from domains.molecules.knowledge.bound import BoundMolecules
from domains.molecules.knowledge.bundle import read_bundle
from domains.molecules.knowledge.joined import key_of
from domains.molecules.knowledge.shipped import ShippedKnowledge
from domains.molecules.knowledge.statements import RELATIONS, statements


@pytest.fixture(scope="module")
def splits():
    return {split: ShippedKnowledge(split=split, most=100) for split in ("train", "val", "test")}


def said(smiles):
    mol = read_molecule(smiles)
    return statements(mol, facts_of(mol))


def test_statements_of_aspirin_by_hand():
    found = said("CC(=O)Oc1ccccc1C(=O)O")
    assert ("has_scaffold", "scaffold:c1ccccc1") in found
    assert ("has_group", "group:carboxylic acid") in found
    assert ("has_group", "group:ester") in found
    assert ("has_ring", "ring:benzene") in found
    assert ("in_weight_band", "weight:100 to 200") in found
    assert ("in_polar_surface_band", "polar surface:medium") in found  # 63.6 square angstrom
    assert {entity for r, entity in found if r == "has_fragment"} == {
        "fragment:[1*]C(C)=O", "fragment:[3*]O[3*]", "fragment:[16*]c1ccccc1[16*]", "fragment:[6*]C(=O)O"
    }  # fmt: skip
    assert {relation for relation, _ in found} <= set(RELATIONS)
    assert len(found) == len(set(found))


def test_an_uncut_acyclic_molecule_has_neither_scaffold_nor_fragment():
    relations = {relation for relation, _ in said("CCCC")}
    assert not relations & {"has_scaffold", "has_fragment", "has_ring"}
    assert ("has_charge", "charge:-1") in said("CC(=O)[O-]")
    assert ("has_stereo", "stereo:all stated") in said("C[C@H](N)C(=O)O")


def test_no_held_out_molecule_and_no_entity_of_it_alone_is_in_the_training_graph(splits):
    held_out = {record.id for part in ("val", "test") for record in splits[part]}
    heads = {line.split("\t")[0] for line in splits["train"].tables["triples"].values()}
    tails = {line.split("\t")[2] for line in splits["train"].tables["triples"].values()}
    assert heads == {record.id for record in splits["train"]}
    assert not (heads | tails) & held_out
    scaffolds = {r.group for part in ("val", "test") for r in splits[part] if not r.group.startswith("acyclic")}
    assert not {f"scaffold:{s}" for s in scaffolds} & tails
    keys = {part: {key_of(r.sources["graph"]) for r in layout} for part, layout in splits.items()}
    assert not keys["train"] & (keys["val"] | keys["test"])


def test_every_entity_is_said_of_two_training_molecules(splits):
    members = {}
    for line in splits["train"].tables["triples"].values():
        head, _, tail = line.split("\t")
        members.setdefault(tail, set()).add(head)
    assert min(map(len, members.values())) >= 2


def test_neighbours_of_a_held_out_molecule_are_what_its_structure_says_and_training_knows(splits):
    known = {line.split("\t")[2] for line in splits["train"].tables["triples"].values()}
    record = splits["test"].record(0)
    expected = {(r, e) for r, e in said(record.sources["graph"]) if e in known}
    assert {tuple(line.split("\t")) for line in record.sources["neighbours"].splitlines()} == expected


def test_it_is_built_once_and_in_one_piece(splits):
    root = splits["train"].root
    before = (root / "links.csv").stat().st_mtime_ns
    assert ShippedKnowledge(split="val", most=100).root == root
    assert (root / "links.csv").stat().st_mtime_ns == before
    assert (root / "manifest.json").exists()


def test_bindings_are_named_by_the_text_unless_shuffled():
    for links, same in (("true", True), ("shuffled", False)):
        layout = BoundMolecules(split="test", most=100, links=links)
        told = [{line.split("protein ")[1] for line in r.sources["neighbours"].splitlines()} for r in layout]
        agree = [all(name in r.sources["text"] for name in names) for r, names in zip(layout, told, strict=True)]
        assert all(agree) if same else not any(agree)
    assert all("neighbours" not in r.sources for r in BoundMolecules(split="test", most=100, links="none"))
    assert len(read_bundle(layout.root).drugs) == 100
