"""From a text to its subgraph: names found, bridges, caps, mentions, saved and read back, questions."""

import json

import numpy as np
import pytest
from grounded_samples import NAMES, SMALL, TEXTS, concept, processor, tables

from core.data.text import CLS, MASK, SEP
from core.errors import CheckpointError, ConfigError, DataError
from domains.molecules.grounded import ChoiceProcessor, GroundedTextProcessor
from domains.molecules.grounded.choices import question_source
from domains.molecules.grounded.concepts import ConceptGraph, part_around
from domains.molecules.grounded.linking import NameLinker
from domains.molecules.grounded.processor import ANSWER, CONTEXT, OTHER, QUESTION


def names_of(reads, sample):
    return [reads.graph.ids[node - 1] if node else "" for node in sample["nodes"].tolist()]


def star(legs=6):
    """Concept 0 joined to all others; 1 and 2 also joined to the last."""
    triples = [(0, 0, i) for i in range(1, legs + 1)] + [(1, 0, legs), (2, 0, legs)]
    ids = tuple(f"c{i}" for i in range(legs + 1))
    return ConceptGraph(ids, tuple((i,) for i in ids), ("r",), np.unique(np.array(triples), axis=0))


def test_the_longest_name_wins_and_aliases_and_case_do_not_matter():
    linker = NameLinker([("willow",), ("willow bark",), ("acetylsalicylic_acid", "Aspirin"), ("an",)])
    text = "Willow bark, then ASPIRIN and an Acetylsalicylic acid from a willow."
    found = [(m.concepts, text[m.start : m.end]) for m in linker.mentions(text)]
    assert found == [
        ((1,), "Willow bark"), ((2,), "ASPIRIN"), ((2,), "Acetylsalicylic acid"), ((0,), "willow")
    ]  # fmt: skip
    assert linker.mentions("") == NameLinker([]).mentions("aspirin") == []


def test_a_name_of_two_concepts_links_both():
    assert NameLinker([("cold",), ("cold", "flu")]).mentions("a cold")[0].concepts == (0, 1)


def test_bridges_join_two_linked_concepts_and_others_stay_out():
    graph = star()
    assert set(part_around(graph, [1, 2], most=50).concepts.tolist()) == {1, 2, 0, 6}
    assert part_around(graph, [3], most=50).concepts.tolist() == [3]
    assert part_around(graph, [], most=50).concepts.tolist() == []


def test_edges_are_all_triples_between_the_nodes_as_positions():
    graph = star()
    part = part_around(graph, [6, 1, 2], most=50)
    found = {(part.concepts[h], r, part.concepts[t]) for h, r, t in part.edges.tolist()}
    inside = set(part.concepts.tolist())
    assert found == {tuple(t) for t in graph.triples_T3.tolist() if {t[0], t[2]} <= inside}


def test_the_cap_keeps_linked_concepts_first_and_better_bridges_before_others():
    graph = star()
    part = part_around(graph, [1, 2, 3], most=4)
    assert part.concepts.tolist() == [1, 2, 3, 0]  # 0 joins three of them, 6 joins two
    assert part_around(graph, [1, 2, 3], most=2).concepts.tolist() == [1, 2]
    assert part_around(graph, [1, 2, 3], most=0).edges.shape == (0, 3)


def test_small_neighbourhoods_come_whole_and_those_of_hubs_do_not():
    graph = star()
    assert set(part_around(graph, [3], most=50, neighbours=1).concepts.tolist()) == {3, 0}
    assert set(part_around(graph, [0], most=50, neighbours=5).concepts.tolist()) == {0}


def test_a_text_becomes_tokens_linked_concepts_and_facts():
    reads = processor()
    sample = reads.load("aspirin treats pain .")
    assert names_of(reads, sample) == ["", "C1", "C3"]
    assert sample["node_type"].tolist() == [CONTEXT, QUESTION, QUESTION]
    assert sample["edges"].tolist() == [[1, 0, 2]]  # aspirin treats pain; relation 0
    tokens = [reads.decode(sample["ids"][first : last + 1]) for _, first, last in sample["mentions"].tolist()]
    assert tokens == ["aspirin", "pain"]


def test_a_node_limit_of_one_leaves_the_text_alone():
    sample = processor(nodes=1).load(TEXTS[0])
    assert sample["nodes"].tolist() == [0]
    assert sample["edges"].shape == sample["mentions"].shape == (0, 3)


def test_a_mention_that_is_cut_off_links_its_concept_without_tokens():
    reads = processor(max_length=8)
    sample = reads.load("aspirin " * 12 + "and pain")
    assert len(sample["ids"]) == 8
    assert sample["dropped"] > 0
    assert (sample["mentions"][:, 2] < 7).all()


def test_collating_pads_and_says_what_is_real():
    reads = processor()
    inp = reads.collate([reads.load(text) for text in TEXTS])
    assert inp.extra["node_mask"].sum(1).tolist() == [3, 3, 1]
    assert inp.extra["edge_mask"].sum(1).tolist() == [1, 1, 0]
    assert (inp.extra["node_type"][~inp.extra["node_mask"]] == OTHER).all()
    assert inp.x.shape == inp.mask.shape


def test_a_saved_processor_reads_the_same_and_a_damaged_one_says_so(tmp_path):
    reads, again = processor(), GroundedTextProcessor(**SMALL)
    reads.save(tmp_path)
    again.restore(tmp_path)
    for text in TEXTS:
        for name, array in reads.load(text).items():
            np.testing.assert_array_equal(again.load(text)[name], array)
    assert again.fingerprint() == reads.fingerprint()
    np.testing.assert_array_equal(again.concept_vectors(), reads.concept_vectors())
    np.save(tmp_path / "concept_triples.npy", np.array([[0, 0, 99]]))
    with pytest.raises(CheckpointError, match=r"concept_triples\.npy: does not fit"):
        again.restore(tmp_path)


def test_another_graph_is_another_fingerprint():
    other = processor()
    changed = tables()
    changed["triples"]["0"] = "C1\ttreats\tC5"
    other.read_tables(changed)
    assert other.fingerprint() != processor().fingerprint()


def test_concept_vectors_have_numbers_of_about_one_and_given_ones_are_read(tmp_path):
    reads = processor()
    np.testing.assert_allclose(np.linalg.norm(reads.concept_vectors(), axis=1), 4, rtol=1e-5)  # sqrt(16)
    np.save(tmp_path / "v.npy", np.arange(8, dtype=np.float32).reshape(2, 4) + 1)
    (tmp_path / "v.names.txt").write_text("C3\nC1\n")
    found = processor(vectors=tmp_path / "v.npy").concept_vectors()
    np.testing.assert_allclose(found[reads.graph.index["C3"]], np.array([1, 2, 3, 4]) / np.sqrt(30) * 2, rtol=1e-6)
    assert not found[reads.graph.index["C2"]].any()


def test_a_gap_stands_where_the_words_stood_and_its_concept_is_not_linked():
    reads = processor(neighbours=8)
    whole, gap = reads.load("aspirin treats pain ."), reads.gap("aspirin treats", "pain", ".")
    first, last = whole["mentions"][1, 1:]
    assert (gap["ids"][first : last + 1] == MASK).all()
    others = np.delete(np.arange(len(whole["ids"])), np.arange(first, last + 1))
    np.testing.assert_array_equal(gap["ids"][others], whole["ids"][others])
    kinds = dict(zip(names_of(reads, gap), gap["node_type"].tolist(), strict=True))
    assert kinds == {"": CONTEXT, "C1": QUESTION, "C3": OTHER, "C4": OTHER}


ASKED = question_source("What does aspirin treat ?", ["pain", "willow bark"], answer=0)


def test_each_choice_is_a_statement_with_the_choice_as_answer_entity():
    reads = processor(ChoiceProcessor, [ASKED], neighbours=8)
    three = question_source("What does aspirin treat ?", ["gout", "salicin", "pain"], answer=2)
    inp = reads.collate([reads.load(ASKED), reads.load(three)])
    assert inp.x.shape[:2] == (2, 3)
    assert inp.extra["choice_mask"].tolist() == [[True, True, False], [True] * 3]
    assert inp.extra["answer"].tolist() == [0, 2]
    nodes, kinds = inp.extra["nodes"][0, 0].tolist(), inp.extra["node_type"][0, 0].tolist()
    assert kinds[nodes.index(concept(reads, "C3"))] == ANSWER
    assert kinds[nodes.index(concept(reads, "C1"))] == QUESTION
    row = inp.x[0, 0][inp.mask[0, 0]].tolist()
    assert row[0] == CLS
    assert row.count(SEP) == 2


def test_concepts_that_are_given_are_not_looked_for_and_unknown_ones_are_left_out():
    reads = processor(ChoiceProcessor, [ASKED])
    given = question_source("What is it ?", ["this", "that"], concepts=[(["C1", "C9"], ["C3"]), ([], [])])
    sample = reads.load(given)
    assert names_of(reads, {"nodes": sample["0/nodes"]}) == ["", "C3", "C1"]
    assert sample["1/nodes"].tolist() == [0]
    assert sample["answer"] == -1


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("no json", "not a question"),
        (json.dumps({"stem": "a", "choices": ["b"], "answer": 0}), "two choices or more"),
        (json.dumps({"stem": "a", "choices": ["b", "c"], "answer": 2}), "the answer is 2"),
        (json.dumps({"stem": "a", "choices": ["b", "c"], "answer": 0, "concepts": [[[], []]]}), "one pair for each"),
        (json.dumps({"stem": "a", "choices": ["b", "c"], "answer": 0, "concepts": [["x", []], [[], []]]}), "a list of"),
    ],
)
def test_faulty_questions_say_what_is_wrong(source, fault):
    with pytest.raises(DataError, match=fault):
        processor(ChoiceProcessor, [ASKED]).load(source)


def test_impossible_settings_and_triples_without_names_are_refused():
    with pytest.raises(ConfigError, match="nodes is 0"):
        GroundedTextProcessor(nodes=0)
    broken = tables()
    broken["triples"]["9"] = "C1\ttreats\tC99"
    with pytest.raises(DataError, match=r"triple 9 \(C1 \| treats \| C99\)"):
        processor().read_tables(broken)
    assert set(NAMES) == set(processor().graph.ids)
