"""Triples of text files: the public layouts, and a named file and line for each fault."""

import numpy as np
import pytest
import torch
from kg_files import TRAIN, fitted, lines, write_graph

from core.config.schema import DataSettings
from core.data.datamodule import DataModule
from core.data.layout import source_path, verify
from core.errors import CheckpointError, ConfigError, DataError
from domains.molecules.data import LAYOUTS, layout_class
from domains.molecules.kg.graph import triple_keys, with_inverses
from domains.molecules.kg.layouts import CoDEx, InductiveTriples, TripleFolder
from domains.molecules.kg.processor import TripleProcessor
from domains.molecules.kg.texts import read_vectors, text_features
from domains.molecules.kg.triples import Triple, parse_triple, read_descriptions, read_dictionary, read_triples


@pytest.mark.parametrize("suffix", [".txt", ".tsv"])
def test_a_folder_is_read_as_it_is_distributed(tmp_path, suffix):
    layouts = [TripleFolder(root=write_graph(tmp_path, suffix=suffix), split=s) for s in ("train", "val", "test")]
    assert [len(layout) for layout in layouts] == [5, 1, 2]
    record = layouts[0].record(1)
    assert record.sources == {"triple": "b\tlikes\tc"}
    assert source_path(record.sources["triple"]) is None
    assert verify(layouts) == []


def test_columns_in_another_order_byte_order_marks_and_windows_lines_are_read(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfr\th\tt\r\n\r\nr\th\tt\r\n")
    assert read_triples(path, order="rht") == [Triple("h", "r", "t")]


def test_a_name_may_hold_any_character_but_a_tab_or_a_line_feed(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text('a b\u2028c\tr\x0b\tt\'s "x"\n', encoding="utf-8")
    assert read_triples(path) == [Triple("a b\u2028c", "r", 't\'s "x"')]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\tr\tb\na\tr\n", r"x\.txt, line 2: has 2 columns, expected 3"),
        (b"a r b\n", r"line 1: has 1 columns.*separated by spaces\?"),
        (b"a\tr\tb\tc\n", "has 4 columns"),
        (b"a\t \tb\n", "line 1: the relation is empty"),
        (b"a\tr\tb\n\xff\xfe\tr\tb\n", "line 2: is not UTF-8"),
        (b"\n \n", "holds no triple"),
        (b"", "holds no triple"),
    ],
)
def test_a_malformed_file_is_an_error_with_its_line(tmp_path, content, words):
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_triples(path)


def test_missing_files_are_named(tmp_path):
    (tmp_path / "train.txt").write_text(lines(TRAIN))
    with pytest.raises(DataError, match="triples of the test split"):
        TripleFolder(root=tmp_path, split="test")
    with pytest.raises(DataError, match="no such folder"):
        TripleFolder(root=tmp_path / "none", split="test")
    with pytest.raises(DataError, match="no such file"):
        read_triples(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("0\ta\nb\n", "line 2: is 'b', expected index<TAB>name"),
        ("0\ta\n0\tb\n", "index 0 was already used in line 1"),
        ("0\ta\n1\ta\n", "'a' was already given index 0"),
        ("0\ta\n2\tb\n", "indices are not 0 to 1"),
    ],
)
def test_a_dictionary_that_is_none_is_refused(tmp_path, content, words):
    (tmp_path / "entities.dict").write_text(content)
    with pytest.raises(DataError, match=words):
        read_dictionary(tmp_path / "entities.dict")


def test_dictionaries_must_name_what_triples_name(tmp_path):
    write_graph(tmp_path)
    (tmp_path / "entities.dict").write_text("0\td\n1\tc\n2\tb\n3\ta\n")
    TripleFolder(root=tmp_path, split="train")
    (tmp_path / "relations.dict").write_text("0\tlikes\n")
    with pytest.raises(DataError, match=r"relations.dict: does not name 1 relations of the train split, 'knows'"):
        TripleFolder(root=tmp_path, split="train")


def test_descriptions_come_with_the_layout(tmp_path):
    write_graph(tmp_path)
    (tmp_path / "entity2text.txt").write_text("a\tthe  first\nb\tthe second\na\tagain\n")
    assert TripleFolder(root=tmp_path, split="train").tables["descriptions"] == {"a": "the first", "b": "the second"}
    (tmp_path / "entity2text.txt").write_text("a the first\n")
    with pytest.raises(DataError, match="line 1: is 'a the first', expected name<TAB>text"):
        read_descriptions(tmp_path / "entity2text.txt")


def test_codex_is_read_from_its_repository_layout(tmp_path):
    write_graph(tmp_path / "triples" / "codex-s")
    (tmp_path / "entities" / "en").mkdir(parents=True)
    path = tmp_path / "entities" / "en" / "entities.json"
    path.write_text('{"a": {"label": "Anna", "description": "a singer", "wiki": null}, "b": {"label": null}}')
    layout = CoDEx(root=tmp_path, split="val")
    assert layout.record(0).sources["triple"] == "b\tknows\td"
    assert layout.tables["descriptions"]["a"] == "Anna. a singer"
    path.write_text("[1]")
    with pytest.raises(DataError, match="not the JSON of CoDEx"):
        CoDEx(root=tmp_path, split="val")
    with pytest.raises(DataError, match="valid: s, m, l"):
        CoDEx(root=tmp_path, split="val", size="xl")


def test_an_inductive_test_graph_has_its_own_entities_and_facts(tmp_path):
    write_graph(tmp_path / "g")
    write_graph(tmp_path / "g_ind", train=[("x", "likes", "y")], test=[("y", "knows", "x")])
    layouts = {s: InductiveTriples(root=tmp_path, split=s, graph="g") for s in ("train", "val", "test")}
    assert layouts["test"].record(0).sources["triple"] == "y\tknows\tx"
    assert layouts["val"].record(0).sources["triple"] == "b\tknows\td"
    assert layouts["train"].tables["facts"] == {"0": "x\tlikes\ty"}
    with pytest.raises(DataError, match="test graph"):
        InductiveTriples(root=tmp_path / "g", split="train", graph="train")


def test_every_layout_name_leads_to_a_class():
    for name in LAYOUTS:
        if LAYOUTS[name].startswith("domains.molecules.kg"):
            assert layout_class(name).licence
    with pytest.raises(ConfigError, match="did you mean 'umls'"):
        layout_class("umsl")


def test_ids_are_sorted_names_and_unknown_ones_are_errors_of_the_record():
    processor = fitted()
    assert processor.names.entities == ("a", "b", "c", "d")
    assert processor.names.relations == ("knows", "likes")
    assert processor.load("c\tlikes\td")["triple"].tolist() == [2, 1, 3]
    with pytest.raises(DataError, match=r"c \| likes \| zz: the entity 'zz' is in no training triple"):
        processor.load("c\tlikes\tzz")
    with pytest.raises(DataError, match=r"relation 'like' is in no training triple.*did you mean 'likes'"):
        processor.load("c\tlike\td")


def test_unseen_entities_get_ids_behind_the_others_when_they_are_admitted():
    processor = fitted(admit_unseen=True)
    assert processor.names.entities == ("a", "b", "c", "d")
    processor.read_tables({"descriptions": {"0new": "text"}, "facts": {"0": "x\tlikes\ta"}})
    processor.fit("\t".join(t) for t in TRAIN)
    assert processor.names.entities == ("a", "b", "c", "d", "0new", "x")
    assert processor.graph().facts_N3.tolist() == [[5, 1, 0]]


def test_a_processor_is_saved_and_restored_whole(tmp_path):
    processor = fitted(features={"words": 16}, admit_unseen=True)
    processor.read_tables({"descriptions": {"a": "red apple"}, "facts": {"0": "x\tlikes\ta"}})
    processor.fit("\t".join(t) for t in TRAIN)
    processor.save(tmp_path)
    other = type(processor)(**processor.config())
    assert other.fingerprint() != processor.fingerprint()
    other.restore(tmp_path)
    assert other.fingerprint() == processor.fingerprint()
    np.testing.assert_array_equal(other.graph().triples_T3, processor.graph().triples_T3)
    np.testing.assert_array_equal(other.graph().features["words"], processor.graph().features["words"])
    np.save(tmp_path / "triples.npy", np.full((1, 3), 99))
    with pytest.raises(CheckpointError, match=r"triples.npy: holds ids that graph.json does not name"):
        other.restore(tmp_path)
    (tmp_path / "graph.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"graph.json: cannot be read"):
        other.restore(tmp_path)


def test_inverse_relations_turn_every_triple():
    triples = np.array([[0, 1, 2], [3, 0, 0]])
    assert with_inverses(triples, 2).tolist() == [[0, 1, 2], [3, 0, 0], [2, 3, 0], [0, 2, 3]]
    keys = triple_keys(with_inverses(triples, 2), entities=4, relations=4)
    assert len(set(keys.tolist())) == 4


def test_text_features_tell_words_and_have_unit_rows():
    found = text_features(["red apple", "red pear", "blue car", ""], kind="words", size=64)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 1, 0], atol=1e-6)
    like = found @ found.T
    assert like[0, 1] > 0.1 > like[0, 2]
    letters = text_features(["carbonate", "carbonates", "xenon"], kind="characters", size=512)
    assert letters[0] @ letters[1] > 0.5 > letters[0] @ letters[2]
    with pytest.raises(ConfigError, match="did you mean 'words'"):
        text_features(["a"], kind="word", size=4)


def test_given_vectors_are_matched_by_name_and_never_unpickled(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, np.array([[3.0, 4.0], [1.0, 0.0]]))
    (tmp_path / "v.names.txt").write_text("b\na\n")
    np.testing.assert_allclose(read_vectors(path, ["a", "b", "c"]), [[1, 0], [0.6, 0.8], [0, 0]])
    (tmp_path / "v.names.txt").write_text("b\n")
    with pytest.raises(DataError, match=r"expected floats \(1, F\)"):
        read_vectors(path, ["a"])
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"not a readable \.npy array"):
        read_vectors(path, ["a"])


def test_one_name_for_two_sources_or_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="a name is in both"):
        fitted(features={"words": 4}, vectors={"words": tmp_path})
    with pytest.raises(ConfigError, match="'sounds' is none of"):
        fitted(features={"sounds": 4})
    with pytest.raises(DataError, match="has 1 columns"):
        parse_triple("abc", where="here")


def test_batches_cut_from_the_array_are_those_of_the_records(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPTAD_CACHE", str(tmp_path / "cache"))
    train = [(a, r, b) for a in "abcdef" for r in ("likes", "knows") for b in "abcd"]
    root = write_graph(tmp_path / "graph", train=train)

    def loader(layout, **limit):
        settings = DataSettings(batch_size=10, prepare_workers=0, limit=limit, max_bad_share=1)
        layouts = {split: layout(root=root, split=split) for split in ("train", "val", "test")}
        data = DataModule(layouts, {"triple": TripleProcessor()}, settings, seed=4)
        data.fit_processors()
        data.prepare(("train",), bad_csv=tmp_path / "bad.csv")
        return data.train_loader(total=12, start=3)

    class RecordByRecord(TripleFolder):
        def draws(self, processors, plan):
            return None

    for limit in ({}, {"train": 25}):
        quick, plain = loader(TripleFolder, **limit), loader(RecordByRecord, **limit)
        assert quick.collate_fn.__class__ is not plain.collate_fn.__class__
        batches = list(zip(quick, plain, strict=True))
        assert len(batches) == 9
        for one, two in batches:
            assert one.ids == two.ids
            assert torch.equal(one.inputs["triple"].x, two.inputs["triple"].x)
            assert torch.equal(one.present["triple"], two.present["triple"])
            assert one.keys.keys() == two.keys.keys()
            assert all(torch.equal(one.keys[name], two.keys[name]) for name in one.keys)
            assert (one.labels, one.masks, one.quantities) == (two.labels, two.masks, two.quantities)
