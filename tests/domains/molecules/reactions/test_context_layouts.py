"""Reactions and other layouts as contexts: what is told, what is asked, what is left out."""

import json

import numpy as np
import pytest

pytest.importorskip("rdkit")

from reaction_files import ROWS, write_openexp, write_uspto

from core.data.layout import TrainingPlan, verify
from core.errors import ConfigError, DataError
from domains.molecules.data import layout_class
from domains.molecules.data.reactions import OpenExp
from domains.molecules.io import read_molecule
from domains.molecules.language.processor import ContextProcessor
from domains.molecules.reactions.actions import is_valid
from domains.molecules.reactions.context import Context
from domains.molecules.reactions.layouts import ReactionContexts
from domains.molecules.reactions.rule_made import RuleMadeReactions
from domains.molecules.reactions.told import CaptionContexts, ProcedureContexts, RetrosynthesisContexts
from domains.molecules.standardise import isomeric_key


@pytest.fixture(scope="session")
def rule_made(tmp_path_factory):
    return tmp_path_factory.mktemp("reactions") / "built"


def context(layout, index=0):
    return Context.from_json(layout.record(index).sources["context"])


def test_rule_made_reactions_are_possible_valid_and_the_same_each_time(rule_made, tmp_path):
    splits = [RuleMadeReactions(split=s, root=rule_made, most=80) for s in ("train", "val", "test")]
    assert sum(map(len, splits)) == 80
    assert verify(splits) == []
    assert splits[0].simulated
    for layout in splits:
        for i in range(len(layout)):
            roles, given = layout.roles(i), layout.placeholders(i)
            assert is_valid(layout.record(i).sources["procedure"], given)
            assert len(roles["REACTANT"]) == 2
            product = read_molecule(roles["PRODUCT"][0])
            assert isomeric_key(product) == roles["PRODUCT"][0]
            assert product.GetNumHeavyAtoms() <= sum(read_molecule(s).GetNumHeavyAtoms() for s in roles["REACTANT"])
    again = RuleMadeReactions(split="train", root=tmp_path / "again", most=80)
    assert [r.sources for r in again] == [r.sources for r in splits[0]]


def test_openexp_is_read_whole_and_its_faults_are_named(tmp_path):
    layout = OpenExp(root=write_openexp(tmp_path / "data"), split="test")
    assert layout.roles(0)["CATALYST"] == ["OS(=O)(=O)O"]
    assert layout.placeholders(1)["#1#"] == "25 °C"
    for fault, said in (
        ({"REACTANT": "CC"}, "reaction 0: REACTANT is not a list of SMILES"),
        ({"extracted_duration": ["1 h"]}, "reaction 0: extracted_duration is not a mapping"),
        ({"actions": None}, "reaction 0: actions is a NoneType"),
        ({"PRODUCT": []}, "reaction 0: needs REACTANT, one PRODUCT"),
    ):
        (tmp_path / "data" / "test.json").write_text(json.dumps([{**ROWS[0], **fault}]))
        with pytest.raises(DataError, match=said):
            OpenExp(root=tmp_path / "data", split="test")


def test_a_whole_reaction_goes_from_reactants_to_product_with_texts_made_by_rule(tmp_path):
    layout = ReactionContexts(root=write_openexp(tmp_path), split="test", reactions="openexp", molecules=9)
    found = context(layout)
    assert [m.role for m in found.members] == ["Reactant", "Reactant", "Catalyst", "Solvent", "Product"]
    assert found.members[-1].smiles == "CC(=O)OCc1ccccc1"
    assert "heavy atoms" in found.members[0].abstract
    assert set(found.members[0].properties) == {"Molecular Weight", "LogP", "Polar Area"}
    assert "made by rule" in layout.name
    assert layout.tables["procedures"]["7"] == ROWS[0]["actions"]


@pytest.mark.parametrize(("most", "roles"), [(4, "RRCP"), (3, "RRP"), (1, "P")])
def test_a_record_has_no_more_molecules_than_a_drawn_context(most, roles, tmp_path):
    layout = ReactionContexts(root=write_openexp(tmp_path), split="test", reactions="openexp", molecules=most)
    assert "".join(member.role[0] for member in context(layout).members) == roles


def test_molecules_without_an_abstract_are_in_no_context_when_a_file_gives_them(tmp_path):
    texts = {"CC(=O)O": "Vinegar.", "CC(=O)OCc1ccccc1": "Jasmine.", "OCc1ccccc1": ""}
    layout = ReactionContexts(root=write_openexp(tmp_path, texts), split="train", reactions="openexp")
    assert [m.smiles for m in context(layout).members] == ["CC(=O)O", "CC(=O)OCc1ccccc1"]
    assert context(layout).members[0].properties == {"Molecular Weight": 12.345}
    assert layout.record(1).sources == {}
    names, weights = layout.numbered
    assert names == ["CC(=O)O", "CC(=O)OCc1ccccc1"]
    assert weights.reaction_R.tolist() == [1, 0]


@pytest.mark.parametrize("style", ["hybrid", "single_mol"])
def test_drawn_contexts_are_a_function_of_seed_epoch_and_row(style, tmp_path):
    layout = ReactionContexts(
        root=write_openexp(tmp_path), split="train", reactions="openexp", style=style, contexts=2, random=1
    )
    processor = ContextProcessor(vocab_size=512, queries=2)
    processor.read_tables(layout.tables)
    processor.fit(r.sources["context"] for r in layout)
    plan = TrainingPlan(batch_size=2, total=3, start=0, seed=5, augment=True)
    drawn, again = (layout.draws({"context": processor}, plan) for _ in range(2))
    batches = list(drawn.sampler)
    assert len(batches) == 3
    for batch in reversed(batches):
        for item in batch:
            one, other = drawn.dataset[item]["inputs"]["context"], again.dataset[item]["inputs"]["context"]
            np.testing.assert_array_equal(one["ids"], other["ids"])
            members = drawn.dataset.context(*item).members
            assert len(one["atom_counts"]) == len(members) <= (1 if style == "single_mol" else 4)
            assert all(m.role == "" for m in members) or style == "hybrid"


def test_a_molecule_that_has_no_graph_is_left_out_of_its_drawn_context(tmp_path):
    row = {**ROWS[0], "CATALYST": ["*C"], "SOLVENT": ["C(C"]}
    write_openexp(tmp_path)
    (tmp_path / "train.json").write_text(json.dumps([row]))
    layout = ReactionContexts(
        root=tmp_path, split="train", reactions="openexp", style="uniform_rxn", contexts=1, molecules=9
    )
    processor = ContextProcessor(vocab_size=512, queries=2)
    processor.fit(["CCO", layout.record(0).sources["context"]])
    drawn = layout.draws({"context": processor}, TrainingPlan(1, 1, 0, 0, True))
    assert len(drawn.dataset.context(0, 0).members) == 5
    assert len(drawn.dataset[0, 0]["inputs"]["context"]["atom_counts"]) == 4  # all but what RDKit refuses


def test_procedures_are_asked_with_placeholders_and_conditions(tmp_path):
    layout = ProcedureContexts(root=write_openexp(tmp_path), split="test", layout="openexp")
    found = context(layout, 1)
    assert [(m.role, m.mark) for m in found.members] == [
        ("Reactant", "$1$"), ("Reactant", "$2$"), ("Product", "$-1$"), ("Solvent", ""),
    ]  # fmt: skip
    assert found.ask == "Temperatures: #1#: 25 °C. Durations: @1@: overnight. Action sequence: "
    assert found.target == ROWS[1]["actions"]
    asked = ProcedureContexts(root=tmp_path, split="test", layout="openexp", ask="Action Squence: ")
    assert context(asked, 1).ask.endswith("Action Squence: ")


def test_uspto_copies_are_contexts_of_one_group(tmp_path):
    write_uspto(tmp_path)
    layout = RetrosynthesisContexts(root=tmp_path, split="test", layout="uspto50k", arguments={"copies": 2})
    assert [layout.record(i).group for i in range(4)] == ["test-0", "test-0", "test-1", "test-1"]
    found = context(layout)
    assert (found.members[0].smiles, found.target, found.smiles) == ("CC(=O)OC", "CC(=O)O.CO", True)
    assert not found.members[0].graph
    whole = RetrosynthesisContexts(root=write_openexp(tmp_path / "open"), split="test", layout="openexp", graphs=True)
    assert context(whole).target == "CC(=O)O.OCc1ccccc1"
    assert context(whole).members[0].graph


def test_captions_of_chebi_and_pubchem_by_name(tmp_path):
    for file in ("train", "validation", "test"):
        (tmp_path / f"{file}.txt").write_text("CID\tSMILES\tdescription\n1\tCCO\tThe molecule is ethanol.\n")
    chebi = CaptionContexts(root=tmp_path, split="val", layout="chebi20")
    assert context(chebi).target == "The molecule is ethanol."
    assert context(chebi).ask == "Description: "
    for folder in ("smiles", "text"):
        (tmp_path / "pubchem" / "test" / folder).mkdir(parents=True)
    (tmp_path / "pubchem/test/smiles/smiles_5.txt").write_text("CCN\n")
    (tmp_path / "pubchem/test/text/text_5.txt").write_text("An amine.\nMore.\n")
    pubchem = CaptionContexts(root=tmp_path / "pubchem", split="test", layout="pubchem324k")
    assert (context(pubchem).members[0].smiles, context(pubchem).target) == ("CCN", "An amine.")


def test_layouts_that_do_not_fit_are_refused_by_name(tmp_path):
    write_uspto(tmp_path)
    with pytest.raises(ConfigError, match="USPTO-50k has product, reactants; CaptionContexts needs 'text'"):
        CaptionContexts(root=tmp_path, split="test", layout="uspto50k")
    with pytest.raises(ConfigError, match=r"data\.layout_args\.arguments.*copys"):
        RetrosynthesisContexts(root=tmp_path, split="test", layout="uspto50k", arguments={"copys": 2})
    with pytest.raises(ConfigError, match=r"'uspto50k' reads a folder; give it with --data\.root"):
        RetrosynthesisContexts(split="test", layout="uspto50k")
    with pytest.raises(ConfigError, match=r"there is no 'openxp'.*openexp"):
        ReactionContexts(split="test", reactions="openxp")
    with pytest.raises(ConfigError, match="are read from a folder"):
        ReactionContexts(split="test", reactions="openexp")
    assert layout_class("procedure_contexts") is ProcedureContexts
