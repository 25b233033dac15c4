"""Layouts of public molecular datasets, on small copies in their form."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rdkit")

from core.data.layout import verify
from core.errors import ConfigError, DataError
from domains.molecules.data import LAYOUTS, layout_class
from domains.molecules.data.chebi20 import ChEBI20
from domains.molecules.data.moleculenet import TABLES, MoleculeNet
from domains.molecules.data.pcdes import PCdes
from domains.molecules.data.pubchem import PubChem324k, PubChemSTM
from domains.molecules.data.reactions import OpenExp, USPTO50k, restored, tokenised
from domains.molecules.data.samples import ShippedMolecules, deal
from domains.molecules.data.sdf_folder import SDFFolder
from domains.molecules.data.shipped import STRUCTURES, nci
from domains.molecules.data.smiles_csv import SmilesCSV
from domains.molecules.io.rdkit import chem

SPLITS = ("train", "val", "test")
SMILES = [text for _, text in nci()][20:80]


def test_names_of_layouts():
    assert all(layout_class(name).name for name in LAYOUTS)
    with pytest.raises(ConfigError, match="there is no layout 'chebi'; did you mean 'chebi20'"):
        layout_class("chebi")


def test_a_table_of_ones_own_is_split_by_scaffold(tmp_path):
    rows = "\n".join(f"m{i},{text},a text,{i / 10}," for i, text in enumerate(SMILES))
    (tmp_path / "mine.csv").write_text(f"ID,SMILES,Description,logS,tox\n{rows}\n")
    splits = [SmilesCSV(root=tmp_path, split=s, labels=["logS", "tox"]) for s in SPLITS]
    assert sum(map(len, splits)) == len(SMILES)
    assert verify(splits) == []
    record = splits[0].record(0)
    assert record.sources["graph"] in SMILES
    assert record.labels["logS"] == pytest.approx(int(record.id[1:]) / 10)
    assert record.labels["tox"] != record.labels["tox"]
    with pytest.raises(DataError, match=r"mine\.csv: missing column 'logP'; did you mean 'logS'"):
        SmilesCSV(root=tmp_path, split="train", labels=["logP"])
    (tmp_path / "mine.csv").write_text("smiles,split\nCC,train\nCO,middle\n")
    with pytest.raises(DataError, match="row 3: split 'middle'"):
        SmilesCSV(root=tmp_path, split="train")


def test_a_folder_of_structures(tmp_path):
    Chem = chem()
    blocks = "".join(
        f"{Chem.MolToMolBlock(Chem.MolFromSmiles(s))}> <SOL>\n{i}\n\n$$$$\n" for i, s in enumerate(SMILES[:30])
    )
    (tmp_path / "a.sdf").write_text(blocks)
    (tmp_path / "b.smi").write_text("\n".join(SMILES[30:]))
    splits = [SDFFolder(root=tmp_path, split=s, labels=["SOL"]) for s in SPLITS]
    assert sum(map(len, splits)) == len(SMILES)
    assert verify(splits) == []
    values = sorted(r.labels["SOL"] for s in splits for r in s if r.id.startswith("a.sdf"))
    assert values == list(range(30))


def test_moleculenet_reads_quoted_names_leaves_out_the_impossible_and_masks_the_unknown(tmp_path):
    rows = "\n".join(f'{i},"a, b",{i % 2},{text}' for i, text in enumerate(SMILES))
    (tmp_path / "BBBP.csv").write_text(f"num,name,p_np,smiles\n{rows}\n99,bad,1,C(C)(C)(C)(C)C\n")
    splits = [MoleculeNet(root=tmp_path, split=s, dataset="bbbp") for s in SPLITS]
    assert sum(map(len, splits)) == len(SMILES)
    assert splits[0].unreadable == 1
    assert splits[0].label_names == ("p_np",)
    (tmp_path / "tox21.csv").write_text(
        "NR-AR,SR-p53,mol_id,smiles\n" + "\n".join(f"1,,T{i},{s}" for i, s in enumerate(SMILES))
    )
    tox = MoleculeNet(root=tmp_path, split="train", dataset="tox21")
    assert tox.label_names == ("NR-AR", "SR-p53")
    labels = tox.record(0).labels
    assert labels["NR-AR"] == 1.0
    assert labels["SR-p53"] != labels["SR-p53"]
    with pytest.raises(DataError, match=r"HIV\.csv: no such file"):
        MoleculeNet(root=tmp_path, split="train", dataset="hiv")
    with pytest.raises(ConfigError, match="there is no 'bbb'; did you mean"):
        MoleculeNet(root=tmp_path, split="train", dataset="bbb")
    assert TABLES["esol"].labels == ("measured log solubility in mols per litre",)


def test_chebi20_halves_backslashes_and_takes_quotes_as_they_are(tmp_path):
    text = 'CID\tSMILES\tdescription\n12\tF/C=C\\\\F\tThe "cis" form of it.\n13\tCC*\ta wildcard\n'
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.txt").write_text(text)
    layout = ChEBI20(root=tmp_path, split="val")
    assert layout.record(0).sources == {"graph": "F/C=C\\F", "text": 'The "cis" form of it.'}
    assert len(layout) == 2
    (tmp_path / "test.txt").write_text("CID,SMILES\n")
    with pytest.raises(DataError, match=r"test\.txt: the header is"):
        ChEBI20(root=tmp_path, split="test")


def test_pcdes_protocols(tmp_path):
    (tmp_path / "Ret").mkdir()
    (tmp_path / "Ret" / "align_smiles.txt").write_text("\n".join(SMILES) + "\n")
    (tmp_path / "Ret" / "align_des_filt3.txt").write_text("\n".join(f"text {i}" for i in range(len(SMILES))) + "\n")
    sizes = [len(PCdes(root=tmp_path, split=s)) for s in SPLITS]
    assert sizes == [42, 6, 12]
    assert PCdes(root=tmp_path, split="val").record(0).sources == {"graph": SMILES[42], "text": "text 42"}
    by_scaffold = [PCdes(root=tmp_path, split=s, protocol="scaffold") for s in SPLITS]
    assert sum(map(len, by_scaffold)) == len(SMILES)
    (tmp_path / "Ret" / "align_des_filt3.txt").write_text("one line\n")
    with pytest.raises(DataError, match=r"60 lines, align_des_filt3\.txt has 1"):
        PCdes(root=tmp_path, split="train")


def test_sentences_of_pcdes_stand_for_their_paragraph(tmp_path):
    said = "One has five words here. Too short. Two has also five words. Three is a sentence as well."
    texts = [said, "Nothing long. Here.", ""] * 20
    (tmp_path / "align_smiles.txt").write_text("\n".join(SMILES) + "\n")
    (tmp_path / "align_des_filt3.txt").write_text("\n".join(texts) + "\n")
    train, test = (PCdes(root=tmp_path, split=s, unit="sentence") for s in ("train", "test"))
    long = ["One has five words here", "Two has also five words", "Three is a sentence as well"]
    assert train.record(0).sources["text"].splitlines() == long
    assert train.record(1).sources["text"] == "Nothing long. Here."
    assert "text" not in train.record(2).sources
    held = [r.sources["text"] for r in test if r.sources.get("text", "").startswith(("One", "Two", "Three"))]
    assert set(held) <= set(long)
    assert len(set(held)) > 1  # not the same one everywhere
    state = 42
    for _ in range(49):  # line 48 is the first of the test split that has sentences
        state = state * 16807 % 2147483647
    assert test.record(0).sources["text"] == long[state % 3]
    with pytest.raises(ConfigError, match="valid: paragraph, sentence"):
        PCdes(root=tmp_path, split="test", unit="word")


def test_pubchem_sets(tmp_path):
    stm = tmp_path / "stm"
    (stm / "raw").mkdir(parents=True)
    (stm / "raw" / "CID2text.json").write_text(
        json.dumps({str(i): ["one  text", "two"] for i in range(60)} | {"999": ["x"]})
    )
    (stm / "raw" / "CID2SMILES.csv").write_text("CID,SMILES\n" + "\n".join(f"{i},{s}" for i, s in enumerate(SMILES)))
    splits = [PubChemSTM(root=stm, split=s) for s in SPLITS]
    assert sum(map(len, splits)) == 60
    assert splits[0].absent == 1
    assert splits[0].record(0).sources["text"] == "one text\ntwo"
    assert verify(splits) == []
    for name, cid in (("train", 1), ("pretrain", 2)):
        for kind, text in (("smiles", "CCO"), ("text", "Ethanol.")):
            (tmp_path / "324" / name / kind).mkdir(parents=True)
            (tmp_path / "324" / name / kind / f"{kind}_{cid}.txt").write_text(text)
    assert PubChem324k(root=tmp_path / "324", split="train").record(0).id == "1"
    assert PubChem324k(root=tmp_path / "324", split="train", pretraining=True).record(0).id == "2"
    with pytest.raises(DataError, match="not a complete PubChem324k dataset"):
        PubChem324k(root=tmp_path / "324", split="test")


def test_uspto_pairs_and_their_copies(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "src-train.txt").write_text("C C O\nO C C\nC Br\nBr C\n")
    (tmp_path / "train" / "tgt-train.txt").write_text("C C Cl . O\nO . C C Cl\nC\nC\n")
    layout = USPTO50k(root=tmp_path, split="train", copies=2)
    assert [layout.record(i).group for i in range(4)] == ["train-0", "train-0", "train-1", "train-1"]
    assert layout.record(0).sources == {"product": "CCO", "reactants": "CCCl.O"}
    assert len(USPTO50k(root=tmp_path, split="train", copies=2, every=False)) == 2
    with pytest.raises(DataError, match="4 lines are not 3 copies"):
        USPTO50k(root=tmp_path, split="train", copies=3)


@pytest.mark.parametrize("text", ["C[C@@H](Br)Cl", "c1cc%12ccc1CC%12", "[nH]1cccc1", "O=C(O)/C=C\\F"])
def test_tokens_make_the_string_again(text):
    assert "".join(tokenised(text).split()) == text
    assert tokenised("CBrCl[nH]%12") == "C Br Cl [nH] %12"


def test_openexp_reactions_and_placeholders(tmp_path):
    row = {"index": 5, "REACTANT": ["CCl", "O"], "PRODUCT": ["CO"], "CATALYST": [], "SOLVENT": ["CCO"],
           "actions": "ADD $1$ ; STIR for @1@ at #1# ; YIELD $-1$", "extracted_molecules": {"CCl": "$1$"},
           "extracted_temperature": {"20 C": "#1#"}, "extracted_duration": {"1 h": "@1@"}}  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps([row]))
    layout = OpenExp(root=tmp_path, split="train")
    assert layout.record(0).sources["reaction"] == "CCl.O>CCO>CO"
    marks = layout.placeholders(0)
    assert restored(row["actions"], marks) == "ADD CCl ; STIR for 1 h at 20 C ; YIELD CO"
    (tmp_path / "train.json").write_text("{")
    with pytest.raises(DataError, match=r"train\.json: not JSON"):
        OpenExp(root=tmp_path, split="train")


def test_what_ships_is_there_and_real():
    counts = {name: sum(1 for _ in read()) for name, read in STRUCTURES.items()}
    assert counts["nci"] >= 4990
    assert counts["wehi"] >= 9990
    assert min(counts.values()) >= 50


def test_the_default_holds_whole_scaffolds_out_and_is_built_once(tmp_path):
    splits = [ShippedMolecules(split=s, root=tmp_path / "built", most=80) for s in SPLITS]
    assert [len(s) for s in splits] == [64, 8, 8]
    assert verify(splits) == []
    record = splits[2].record(0)
    assert len(record.sources["text"].splitlines()) == 4
    again = ShippedMolecules(split="test", root=tmp_path / "built")
    assert again.record(0) == record
    assert not splits[0].simulated
    assert "made by rule" in splits[0].name


def test_dealing_keeps_groups_whole_and_fills_the_held_out_splits():
    groups = {f"m{i}": f"g{i // 4}" for i in range(8000)} | {f"x{i}": "large" for i in range(1000)}
    splits = deal(groups)
    counts = {part: sum(1 for s in splits.values() if s == part) for part in SPLITS}
    assert counts == {"train": 8300, "val": 200, "test": 500}
    for part in ("val", "test"):
        inside = {groups[n] for n, s in splits.items() if s == part}
        assert not inside & {groups[n] for n, s in splits.items() if s != part}
