"""MolFM's files as distributed, molecules joined with them, and the rule that keeps held-out molecules out."""

import contextlib
import json

import pytest

pytest.importorskip("rdkit")

from known_files import DRUGS, LINKS, SPLITS, write

from core.errors import ConfigError, DataError
from domains.molecules.data import layout_class
from domains.molecules.knowledge.bundle import read_bundle
from domains.molecules.knowledge.joined import key_of
from domains.molecules.knowledge.layouts import KnownMolecules, MolFMBundle


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "bundle")


def records(layout):
    return {record.id: record for record in layout}


def test_molecules_texts_and_neighbours_are_records(root):
    train = MolFMBundle(root=root, split="train")
    found = records(train)
    assert set(found) == {"D1", "D2", "D3", "D5"}
    assert found["D1"].sources["text"] == "It is aspirin."
    assert train.absent == 1  # D7 has neither structure nor text
    val = records(MolFMBundle(root=root, split="val"))
    assert set(val["D8"].sources) == {"text"}  # no structure, and the graph says nothing of it


def test_two_spellings_of_a_molecule_share_neighbours_and_stereoisomers_do_not(root):
    found = records(MolFMBundle(root=root, split="train"))
    assert found["D1"].sources["neighbours"] == found["D2"].sources["neighbours"] == "target\tP1\nenzyme\tP2"
    assert found["D3"].sources["neighbours"] == "target\tP1"
    assert "neighbours" not in records(MolFMBundle(root=root, split="test"))["D4"].sources


def test_no_triple_of_a_held_out_molecule_is_trained_on_and_nobody_has_it_as_a_neighbour(root):
    train = MolFMBundle(root=root, split="train")
    held_out = {name for name, split in SPLITS.items() if split != "train"}
    named = {cell for line in train.tables["triples"].values() for cell in line.split("\t")}
    assert not named & held_out
    assert len(train.tables["triples"]) == sum(not {h, t} & held_out for h, t, _ in LINKS)
    for split in ("train", "test"):
        for record in MolFMBundle(root=root, split=split):
            beside = {line.split("\t")[1] for line in str(record.sources.get("neighbours", "")).splitlines()}
            assert not beside & held_out
    test = records(MolFMBundle(root=root, split="test"))
    assert test["D6"].sources["neighbours"].splitlines() == ["interacts\tD5", "interacts^-1\tD1"]


def test_another_spelling_of_a_held_out_molecule_is_held_out_too(tmp_path):
    root = write(tmp_path / "b", splits={**SPLITS, "D2": "test"})
    train = MolFMBundle(root=root, split="train")
    assert "D1" not in records(train)
    assert not any("D1" in line or "D2" in line for line in train.tables["triples"].values())


def test_without_a_split_file_scaffolds_are_dealt_by_hash_and_twins_stay_together(tmp_path):
    root = write(tmp_path / "b", splits=None)
    parts = {}
    for split in ("train", "val", "test"):
        with contextlib.suppress(DataError):  # seven molecules need not fill three splits
            parts |= {record.id: split for record in MolFMBundle(root=root, split=split)}
    assert parts["D1"] == parts["D2"]
    assert set(parts) == set(DRUGS) - {"D7"}


def test_links_to_unknown_ids_are_left_out_and_counted(tmp_path):
    layout = MolFMBundle(root=write(tmp_path / "b", links=[*LINKS, ("D1", "X9", "target")]), split="train")
    assert layout.loose_links == 1
    assert not any("X9" in line for line in layout.tables["triples"].values())


@pytest.mark.parametrize(("file", "content", "said"), [
    ("links.csv", "h,t\nD1,P1\n", r"columns \['h', 't'\], expected h, t, r \(r missing\)"),
    ("links.csv", "h,t,r\nD1,P1,target\nD1,,target\n", "links.csv, line 3: 't' is empty"),
    ("links.csv", "h,t,r\nX,Y,target\n", "none of 1 links .*X | target | Y"),
    ("drug.json", "{", "drug.json: not JSON"),
    ("drug.json", "[]", "holds a list, expected"),
    ("drug.json", '{"D1": "CCO"}', "entry 'D1' is a str"),
    ("drug.json", '{"D1": {"SMILES": 3}}', "'SMILES' of 'D1' is a int, expected text"),
    ("splits.csv", "id,group,split\nD1,a,dev\n", "split 'dev'"),
])  # fmt: skip
def test_a_broken_file_is_named_with_its_fault(root, file, content, said):
    (root / file).write_text(content)
    with pytest.raises(DataError, match=said):
        MolFMBundle(root=root, split="train")


def test_pickled_links_are_refused_with_the_way_out(root):
    (root / "links.csv").unlink()
    (root / "kg.pkl").write_bytes(b"\x80")
    with pytest.raises(DataError, match=r"never loaded; write its `triplets` as links\.csv"):
        read_bundle(root)


def test_an_unreadable_structure_joins_nothing_and_is_left_to_the_record_policy(tmp_path):
    drugs = {**DRUGS, "D5": {"SMILES": "C1CC", "text": "broken"}}
    found = records(MolFMBundle(root=write(tmp_path / "b", drugs=drugs), split="train"))
    assert key_of("C1CC") == ""
    assert found["D5"].sources["graph"] == "C1CC"


def test_molecules_of_another_layout_are_joined_by_isomeric_smiles(root, tmp_path):
    (tmp_path / "own").mkdir()
    table = "smiles,text,split\nOC(=O)c1ccccc1OC(=O)C,a,train\nC[C@@H](N)C(O)=O,b,train\nCCCC,c,train\n"
    table += "CCO,d,test\nCO,e,val\n"
    (tmp_path / "own" / "data.csv").write_text(table)
    layouts = {s: KnownMolecules(root=tmp_path / "own", split=s, graph=root) for s in ("train", "test")}
    aspirin, alanine, butane = list(layouts["train"])
    assert {line.split("\t")[1] for line in aspirin.sources["neighbours"].splitlines()} == {"P1", "P2", "D6"}
    assert "neighbours" not in alanine.sources  # D4, of which nothing is said; D3 is its mirror image
    assert "neighbours" not in butane.sources
    assert layouts["train"].matched == 2
    assert not any("D5" in line for line in layouts["train"].tables["triples"].values())  # ethanol is held out here
    assert {line.split("\t")[1] for line in next(iter(layouts["test"])).sources["neighbours"].splitlines()} == {
        "P1",
        "P2",
        "D6",
    }


def test_layouts_go_by_name_and_a_bundle_is_not_joined_with_itself(root):
    assert layout_class("molfm_bundle") is MolFMBundle
    with pytest.raises(ConfigError, match="already has neighbours"):
        KnownMolecules(root=root, split="train", graph=root, layout="molfm_bundle")


def test_what_is_written_is_what_is_read(tmp_path):
    from domains.molecules.kg.triples import Triple
    from domains.molecules.knowledge.bundle import write_bundle

    write_bundle(
        tmp_path, drugs={"a": ("CCO", "x\ny")}, entities={'g:é, "q"': "q"}, links=[Triple("a", "r", 'g:é, "q"')]
    )
    found = read_bundle(tmp_path)
    assert found.drugs == {"a": ("CCO", "x\ny")}
    assert found.links == [Triple("a", "r", 'g:é, "q"')]
    assert json.loads((tmp_path / "protein.json").read_text()) == {}
