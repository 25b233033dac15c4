"""Contexts as tokens: marks, characters, placeholders, budgets, labels; graphs as a batch."""

import numpy as np
import pytest

pytest.importorskip("rdkit")

from core.errors import ConfigError, DataError
from domains.molecules.language.processor import NOT_TOLD, PRODUCT_SMILES, SMILES, ContextProcessor
from domains.molecules.reactions.context import Context, Member

QUERIES = 3
MEMBERS = (
    Member("CC(=O)O", "Reactant", mark="$1$", abstract="An acid of vinegar.", properties={"LogP": 0.0909, "Mass": 60}),
    Member("OCC", "Reactant", mark="$2$"),
    Member("CCOC(C)=O", "Product", mark="$-1$", abstract="An ester.", properties={"LogP": 0.57}),
)


@pytest.fixture(scope="module")
def processor():
    made = ContextProcessor(vocab_size=400, queries=QUERIES, max_length=256)
    made.read_tables({"procedures": {"1": "ADD $1$ ; STIR for @1@"}})
    made.fit([Context(MEMBERS)])
    return made


def text(processor, ids):
    return processor.tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)


def test_a_context_reads_as_reactxt_writes_it(processor):
    mols = "<mol>" * QUERIES
    assert text(processor, processor.encode_context(Context(MEMBERS))["ids"]) == (
        f"[CLS]Reactant: $1$: [START_SMILES]CC(=O)O[END_SMILES]{mols}. [Abstract] An acid of vinegar.  [Properties] "
        f"LogP: 0.09; Mass: 60.00. $2$: [START_SMILES]OCC[END_SMILES]{mols}. Product: $-1$: "
        f"[START_SMILES]CCOC(C)=O[END_SMILES]{mols}. [Abstract] An ester.  [Properties] LogP: 0.57. [SEP]"
    )


def test_every_molecule_has_its_placeholders_and_they_are_not_told(processor):
    sample = processor.encode_context(Context(MEMBERS))
    mol = processor.tokenizer.token_to_id("<mol>")
    assert (sample["ids"] == mol).sum() == QUERIES * 3 == (sample["slots"] >= 0).sum()
    assert sample["slots"][sample["ids"] == mol].tolist() == list(range(9))
    assert (sample["labels"][sample["ids"] == mol] == NOT_TOLD).all()
    others = sample["ids"] != mol
    np.testing.assert_array_equal(sample["labels"][others], sample["ids"][others])  # SMILES too
    assert sample["atom_counts"].tolist() == [4, 3, 6]


def test_smiles_are_single_characters_of_a_kind(processor):
    sample = processor.encode_context(Context(MEMBERS))
    for kind, found in ((SMILES, "CC(=O)OOCC"), (PRODUCT_SMILES, "CCOC(C)=O")):
        ids = [i for i, k in zip(sample["ids"], sample["kinds"], strict=True) if k == kind]
        signs = [i for i in ids if text(processor, [i]) not in ("[START_SMILES]", "[END_SMILES]")]
        assert len(signs) == len(found)
        assert text(processor, signs) == found


def test_budgets_are_shared_and_smiles_are_cut(processor):
    small = ContextProcessor(vocab_size=400, queries=0, budget=12, smiles_length=4)
    small.adopt(processor)
    whole = Context(
        (Member("CCCCCCC", abstract="words " * 50, properties={"LogP": 1.0}), Member("CO", abstract="x " * 50))
    )
    ids = small.encode_context(whole)["ids"]
    said = text(small, ids)
    assert "[START_SMILES]CCCC[END_SMILES]. " in said
    ahead = small._text(". ")
    marks = [i for i, token in enumerate(ids) if text(small, [token]) == "[END_SMILES]"]
    next_one = [i for i, token in enumerate(ids) if text(small, [token]) == "[START_SMILES]"][1]
    assert next_one - marks[0] - 1 - len(ahead) == 6  # 12 tokens for two molecules
    assert len(ids) - marks[1] - 1 - len(ahead) - 1 == 6  # and [SEP]


def test_properties_stay_when_the_abstract_is_cut(processor):
    small = ContextProcessor(vocab_size=400, queries=0, budget=40)
    small.adopt(processor)
    said = text(
        small, small.encode_context(Context((Member("C", abstract="long " * 90, properties={"LogP": -1.234}),)))["ids"]
    )
    assert said.endswith("[Properties] LogP: -1.23. [SEP]")


def test_only_the_target_is_told_when_there_is_one(processor):
    context = Context(MEMBERS[:1], ask="Action sequence: ", target="ADD $1$ ; STIR for @1@")
    sample = processor.encode_context(context)
    labels = sample["labels"][sample["labels"] != NOT_TOLD]
    assert processor.told_text(labels) == context.target
    assert text(processor, labels).endswith("[SEP]")
    prompt = processor.encode_context(context.prompt())
    np.testing.assert_array_equal(prompt["ids"], sample["ids"][: len(prompt["ids"])])
    assert len(sample["ids"]) == len(prompt["ids"]) + len(labels)
    smiles = processor.encode_context(Context(MEMBERS[:1], ask="Reactants: ", target="CO.CN", smiles=True))
    assert processor.told_text(smiles["labels"][smiles["labels"] != NOT_TOLD]) == "CO.CN"


def test_case_and_degrees_survive(processor):
    for said in ("STIR for @1@ at 20 °C", "Wash with 1 N HCl"):
        assert processor.told_text(processor._text(said)) == said


def test_a_batch_pads_graphs_and_has_none_without_any(processor):
    contexts = [Context(MEMBERS), Context(MEMBERS[1:2]), Context((Member("CC", graph=False),))]
    batch = processor.collate([processor.encode_context(c) for c in contexts])
    assert batch.extra["graph_x"].shape[:3] == (3, 3, 6)
    assert batch.extra["graph_mask"].sum(dim=2).tolist() == [[4, 3, 6], [3, 0, 0], [0, 0, 0]]
    assert batch.mask.sum(dim=1).tolist() == [len(processor.encode_context(c)["ids"]) for c in contexts]
    assert (batch.extra["labels"][~batch.mask] == NOT_TOLD).all()
    alone = processor.collate([processor.encode_context(contexts[2])])
    assert "graph_x" not in alone.extra
    single = batch.rows(np.array([1]))
    assert len(single) == 1


def test_one_molecule_is_a_context_by_itself_and_refusals_name_the_string(processor):
    assert text(processor, processor.load("CCO")["ids"]).startswith("[CLS][START_SMILES]CCO[END_SMILES]<mol>")
    with pytest.raises(DataError, match=r"C1CC.*not a SMILES"):
        processor.load("C1CC")
    with pytest.raises(DataError, match="holds a character"):
        processor.smiles_ids("C C")
    with pytest.raises(ConfigError, match="queries -1"):
        ContextProcessor(queries=-1)


def test_a_saved_processor_makes_the_same_tokens(processor, tmp_path):
    processor.save(tmp_path)
    again = ContextProcessor(**processor.config())
    again.restore(tmp_path)
    np.testing.assert_array_equal(
        again.encode_context(Context(MEMBERS))["ids"], processor.encode_context(Context(MEMBERS))["ids"]
    )
    assert again.fingerprint() == processor.fingerprint()


def test_too_long_a_context_is_cut_and_says_how_much(processor):
    short = ContextProcessor(vocab_size=400, queries=QUERIES, max_length=20)
    short.adopt(processor)
    sample = short.encode_context(Context(MEMBERS))
    assert len(sample["ids"]) == 20
    assert sample["dropped"] == len(processor.encode_context(Context(MEMBERS))["ids"]) - 20


def test_a_local_tokenizer_keeps_its_ids_and_gets_the_marks_behind_them(processor, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    local = Tokenizer(models.BPE({sign: i for i, sign in enumerate(alphabet)}, []))
    local.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    local.save(str(tmp_path / "tokenizer.json"))
    made = ContextProcessor(queries=QUERIES, tokenizer_file=tmp_path / "tokenizer.json")
    made.fit([])
    assert made.vocabulary == 256 + 5 + 3
    sample = made.encode_context(Context(MEMBERS))
    assert made.tokenizer.id_to_token(int(sample["ids"][-1])) == "[SEP]"
    assert alphabet[int(sample["ids"][1])] == "R"
    assert (sample["ids"] == made.tokenizer.token_to_id("<mol>")).sum() == 3 * QUERIES
    made.save(tmp_path)
    again = ContextProcessor(queries=QUERIES)
    again.restore(tmp_path)
    np.testing.assert_array_equal(again.encode_context(Context(MEMBERS))["ids"], sample["ids"])
    assert not {made.end_id} & set(made.never_told)
