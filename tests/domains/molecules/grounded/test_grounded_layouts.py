"""Public layouts of concept graphs, texts and questions, on small files in exactly these layouts."""

import json

import pytest
from grounded_samples import (
    NAMES,
    RELATIONS,
    TEXTS,
    TRIPLES,
    write_conceptnet,
    write_questions,
    write_texts,
    write_umls,
)

from core.data.layout import verify
from core.errors import ConfigError, DataError
from domains.molecules.data import layout_class
from domains.molecules.grounded.concepts import ConceptGraph
from domains.molecules.grounded.files import read_conceptnet, read_graph, read_umls
from domains.molecules.grounded.layouts import ConceptTexts, QAGraph
from domains.molecules.grounded.rule_made import TAILS, FactQuestions, FactSheets, write

SMALL = {"train": 30, "valid": 5, "test": 5}


def test_a_umls_graph_has_its_names_relations_and_triples(tmp_path):
    graph = ConceptGraph.of_tables(read_umls(write_umls(tmp_path)))
    assert graph.ids == tuple(NAMES)
    assert graph.names[0] == ("aspirin", "acetylsalicylic acid")
    assert graph.relations == RELATIONS
    found = {(graph.ids[h], graph.relations[r], graph.ids[t]) for h, r, t in graph.triples_T3.tolist()}
    assert found == set(TRIPLES)


def test_a_conceptnet_graph_reads_words_joined_by_underscores(tmp_path):
    tables = read_conceptnet(write_conceptnet(tmp_path))
    assert tables["names"]["ice_cream"] == "ice cream"
    assert list(tables["relations"].values()) == ["atlocation", "hasproperty"]  # sorted, where no list orders them
    (tmp_path / "relations.txt").write_text("hasproperty\nisa\natlocation\n")
    assert list(read_conceptnet(tmp_path)["relations"].values()) == ["hasproperty", "isa", "atlocation"]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("umls.csv", "treats\tC1\n", r"umls.csv, line 1: has 2 columns"),
        ("umls.csv", "treats\tC1\tC99\t1\n", "the concept 'C99' is not in the lists"),
        ("umls.csv", "cures\tC1\tC3\t1\n", "the relation 'cures' is not in the lists"),
        ("umls.csv", "\n", "holds no triple"),
        ("concept_names.txt", "C1 aspirin\n", r"concept_names.txt, line 1: is 'C1 aspirin', expected CUI"),
        ("concept_names.txt", "C99\taspirin\n", "'C99' is not in concepts.txt"),
        ("concepts.txt", "C1\nC1\n", "a line is there twice"),
    ],
)
def test_faulty_graph_files_are_named_with_line_and_remedy(tmp_path, name, content, fault):
    write_umls(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=fault):
        read_umls(tmp_path)


def test_missing_files_and_unknown_graphs_say_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"conceptnet\.en\.csv"):
        read_conceptnet(tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'umls'"):
        read_graph("umsl", tmp_path)
    with pytest.raises(DataError, match=r"text/train\.txt"):
        ConceptTexts(root=tmp_path, split="train")


def test_texts_are_records_and_held_out_splits_carry_their_cloze(tmp_path):
    root = write_texts(tmp_path)
    layouts = {split: ConceptTexts(root=root, split=split) for split in ("train", "val", "test")}
    assert verify(list(layouts.values())) == []
    assert layouts["train"].record(1).sources == {"grounded": TEXTS[1]}
    assert not layouts["train"].tables["cloze"]
    assert layouts["test"].tables["cloze"] == {"1": "aspirin treats\tpain\t.\tpain|gout|willow bark"}
    (root / "cloze" / "test.tsv").write_text("aspirin treats\tpain\t.\tgout|willow\n")
    with pytest.raises(DataError, match=r"cloze/test.tsv, line 1"):
        ConceptTexts(root=root, split="test")


def test_questions_have_choices_answers_and_concepts_that_are_linked_already(tmp_path):
    root = write_questions(tmp_path)
    layout = QAGraph(root=root, split="val", graph="umls", graph_folder="umls")
    first, second = (json.loads(layout.record(i).sources["grounded"]) for i in (0, 1))
    assert (len(first["choices"]), len(second["choices"]), first["answer"]) == (2, 3, 0)
    assert first["concepts"][0] == [["C1", "C9"], ["C3"]]
    test = QAGraph(root=root, split="test", graph="umls", graph_folder="umls")
    assert json.loads(test.record(0).sources["grounded"])["answer"] == -1  # no answerKey


def test_pickled_graphs_beside_questions_are_not_opened(tmp_path):
    root = write_questions(tmp_path, grounded=False)
    (root / "graph").mkdir()
    (root / "graph" / "train.graph.adj.pk").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    layout = QAGraph(root=root, split="train", graph="umls", graph_folder="umls")
    assert "concepts" not in json.loads(layout.record(0).sources["grounded"])
    assert not list(tmp_path.rglob("opened"))


def test_grounded_files_of_other_questions_are_refused(tmp_path):
    root = write_questions(tmp_path / "long", extra_lines=1)
    with pytest.raises(DataError, match="more lines than"):
        QAGraph(root=root, split="train", graph="umls", graph_folder="umls")
    root = write_questions(tmp_path / "short")
    (root / "grounded" / "train.grounded.jsonl").write_text(json.dumps({"qc": [], "ac": []}) + "\n")
    with pytest.raises(DataError, match="fewer lines than"):
        QAGraph(root=root, split="train", graph="umls", graph_folder="umls")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "is a list, expected an object"),
        (json.dumps({"id": 1, "question": {"stem": "x"}}), "not a question"),
        (json.dumps({"id": 1, "question": {"stem": "x", "choices": [{"label": "A", "text": "y"}]}, "answerKey": "B"}),
         "answerKey is 'B', and the choices are A"),
    ],
)  # fmt: skip
def test_faulty_questions_are_named_with_file_and_line(tmp_path, line, fault):
    root = write_questions(tmp_path, grounded=False)
    (root / "statement" / "train.statement.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=rf"train\.statement\.jsonl.*{fault}"):
        QAGraph(root=root, split="train", graph="umls", graph_folder="umls")


def triples_of(root):
    return ConceptGraph.of_tables(read_umls(root / "umls"))


def test_rule_made_facts_of_held_out_compounds_are_in_the_graph_and_in_no_training_text(tmp_path):
    write(tmp_path, counts=SMALL)
    train, test = (FactSheets(root=tmp_path, split=split) for split in ("train", "test"))
    told = " ".join(train.texts)
    facts = set(train.tables["triples"].values())
    names = {own: concept for concept, own in train.tables["names"].items()}
    lines = [line.split("\t") for line in test.tables["cloze"].values()]
    assert len(lines) == SMALL["test"] * len(TAILS)
    for before, answer, _, candidates in lines:
        compound, relation = (
            before.split()[0],
            {"binds": "binds", "is": "found_in", "treats": "treats"}[before.split()[1]],
        )
        assert compound not in told
        assert candidates.split("|") == TAILS[relation]
        assert f"{names[compound]}\t{relation}\t{names[answer]}" in facts


def test_shuffled_facts_keep_every_tail_and_none_says_nothing_of_compounds(tmp_path):
    for facts in ("true", "shuffled", "none"):
        (tmp_path / facts).mkdir()
        write(tmp_path / facts, facts=facts, counts=SMALL)
    graphs = {facts: triples_of(tmp_path / facts) for facts in ("true", "shuffled", "none")}
    true, shuffled = graphs["true"].triples_T3, graphs["shuffled"].triples_T3
    assert sorted(map(tuple, true[:, 1:].tolist())) == sorted(map(tuple, shuffled[:, 1:].tolist()))
    kept = {tuple(t) for t in true.tolist()} & {tuple(t) for t in shuffled.tolist()}
    assert len(kept) < len(true) / 2
    assert len(graphs["none"].triples_T3) == 1
    same = {facts: (tmp_path / facts / "text" / "train.txt").read_text() for facts in graphs}
    assert len(set(same.values())) == 1  # texts stay true


def test_the_same_seed_writes_the_same_and_questions_have_one_right_choice(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, counts=SMALL, seed=seed)
    read = {name: (tmp_path / name / "statement" / "dev.statement.jsonl").read_text() for name in "abc"}
    assert read["a"] == read["b"] != read["c"]
    layout = FactQuestions(root=tmp_path / "a", split="test")
    for record in layout:
        found = json.loads(record.sources["grounded"])
        assert len(set(found["choices"])) == 4
        assert 0 <= found["answer"] < 4


@pytest.mark.parametrize("name", ["concept_texts", "qa_graph", "fact_sheets", "fact_questions"])
def test_layouts_are_found_by_name(name):
    assert layout_class(name).simulated == name.startswith("fact")
