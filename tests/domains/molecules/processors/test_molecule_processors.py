"""Graphs and descriptions as samples and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rdkit")

from core.errors import DataError
from domains.molecules.graphs.vocabulary import OGB9
from domains.molecules.processors import GraphProcessor, WordingProcessor

TEXT = "It has two rings. It is small. Weight 3.5 is near.\nSmall it is, with two rings. Near 3.5 is the weight."


def fitted(**arguments) -> WordingProcessor:
    processor = WordingProcessor(vocab_size=400, **arguments)
    processor.fit([TEXT] * 4)
    return processor


def test_a_batch_pads_atoms_and_edges_and_says_which_are_real():
    processor = GraphProcessor()
    batch = processor.collate([processor.load(text) for text in ("CCO", "[Na+]", "C1CC1")])
    assert batch.x.shape == (3, 3, 2)
    assert batch.mask.sum(dim=1).tolist() == [3, 1, 3]
    assert batch.extra["edge_mask"].sum(dim=1).tolist() == [4, 0, 6]
    assert batch.extra["edges"][0, :4].tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert batch.rows([2, 0]).extra["edge_mask"].sum(dim=1).tolist() == [6, 4]


def test_files_strings_and_molecules_of_files_are_read_alike(tmp_path):
    processor = GraphProcessor(vocabulary="ogb9")
    (tmp_path / "one.smi").write_text("CCO ethanol\n")
    found, same = processor.load(tmp_path / "one.smi"), processor.load("CCO")
    for name in same:
        np.testing.assert_array_equal(found[name], same[name])
    assert same["atoms"].shape == (3, len(OGB9.atom_columns))
    (tmp_path / "none.smi").write_text("\n")
    with pytest.raises(DataError, match=r"none\.smi: holds no molecule"):
        processor.load(Path(tmp_path / "none.smi"))


def test_the_fingerprint_holds_vocabulary_and_policy():
    prints = {
        GraphProcessor(**a).fingerprint() for a in ({}, {"vocabulary": "ogb9"}, {"stereo": "drop"}, {"uncharge": True})
    }
    assert len(prints) == 4


def test_a_molecule_is_drawn_for_reports():
    picture = GraphProcessor().drawn("c1ccccc1O")
    assert picture.shape == (240, 320, 3)
    assert picture.dtype == np.uint8
    assert (picture < 128).any()


def test_evaluation_reads_one_paragraph_and_training_sentences_of_any():
    processor = fitted(drop=0.6)
    sample = processor.load(TEXT)
    first, second = TEXT.lower().split("\n")
    assert processor.decode(sample["ids"]) == first
    assert fitted(which=1).decode(fitted(which=1).load(TEXT)["ids"]) == second
    sentences = {"it has two rings.", "it is small.", "weight 3.5 is near.", "small it is, with two rings."}
    sentences |= {"near 3.5 is the weight."}
    seen = set()
    for seed in range(40):
        drawn = processor.augment(sample, np.random.default_rng(seed))
        text = processor.decode(drawn["ids"])
        parts = [part for part in sentences if part in text]
        assert sum(map(len, parts)) + len(parts) - 1 == len(text)  # whole sentences, and nothing else
        assert all(part in first for part in parts) or all(part in second for part in parts)
        words = drawn["word_ids"][1:-1]
        assert words[0] == 0
        assert set(np.diff(words).tolist()) <= {0, 1}
        seen |= set(parts)
    assert seen == sentences


def test_without_drop_the_same_sentences_come_in_another_order():
    processor = fitted()
    sample = processor.load(TEXT)
    texts = {len(processor.augment(sample, np.random.default_rng(s))["ids"]) for s in range(20)}
    assert texts == {len(processor.load(part)["ids"]) for part in TEXT.split("\n")}


def test_a_source_without_text_holds_nothing():
    assert fitted().load("\n \n") == {}


def test_many_at_once_are_what_each_is_alone():
    texts = ["CCO", "C1CC", "C[C@H](N)O", "c1ccccc1"]
    for processor in (GraphProcessor(), GraphProcessor(vocabulary="ogb9", stereo="drop")):
        for text, one in zip(texts, processor.load_many(texts), strict=True):
            if isinstance(one, DataError):
                assert text == "C1CC"
                continue
            alone = processor.load(text)
            assert one.keys() == alone.keys()
            assert all(np.array_equal(one[name], alone[name]) for name in one)
