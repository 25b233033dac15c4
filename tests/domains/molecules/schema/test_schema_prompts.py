"""Prompts and labels: render and parse, spans kept in view, edit distance, ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.text import CLS, SEP
from core.errors import CheckpointError, ConfigError, DataError
from core.evaluation.edit_distance import edit_distance
from domains.molecules.schema.labels import closest
from domains.molecules.schema.processors import AnswerProcessor, PromptProcessor
from domains.molecules.schema.prompt import Prompt, check_label, parse, prompt_of, render
from domains.molecules.schema.question import TASKS, Question, read_question, refused

NER = Question("ner", "sofc_token", "The Ni anode at 800 C .", "Ni", 4, "", "MATERIAL")
RC = Question("rc", "sc_comics", "doped MgB2", "doped ; MgB2", 0, "Doping,Main", "Target")
LABELS = {"labels": {"sofc_token/ner": "DEVICE,MATERIAL,VALUE", "sc_comics/rc": "Condition,Target"}}


@pytest.mark.parametrize("style", ["none", "choices", "schema", "example"])
@pytest.mark.parametrize("question", [NER, RC])
def test_a_prompt_is_read_back_as_it_was_rendered(style, question):
    made = prompt_of(question, style=style, choices=("A b", "C-d"), example=("x = y ; z", "C-d"))
    assert parse(render(made)) == made


def test_prompts_look_as_the_benchmark_has_them():
    assert render(prompt_of(NER, style="choices", choices=("DEVICE", "VALUE"))) == (
        "named entity recognition\tNi. choices : DEVICE,VALUE"
    )
    assert render(prompt_of(RC, style="schema")) == "relation classification\tdoped ; MgB2. schema : Doping,Main"
    assert prompt_of(NER, style="schema").style == "none"  # nothing goes with it


@given(task=st.sampled_from(sorted(TASKS)), span=st.text(), hint=st.lists(st.text(min_size=1), min_size=1))
@settings(max_examples=60, deadline=None)
def test_any_span_with_any_choices_comes_back(task, span, hint):
    labels = tuple(h.replace(",", "").replace(":", "") for h in hint)
    made = Prompt(task, " ".join(span.split()), "choices", labels)
    if all(labels):
        assert parse(render(made)) == made


def test_what_is_no_prompt_is_refused():
    with pytest.raises(DataError, match="name of a task, a tab"):
        parse("relation MgB2")
    with pytest.raises(DataError, match="has a comma"):
        check_label("a,b", "x")


def reference(a: str, b: str) -> int:
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a):
        rows.append([i + 1])
        for j, y in enumerate(b):
            rows[-1].append(min(rows[-2][j] + (x != y), rows[-2][j + 1] + 1, rows[-1][j] + 1))
    return rows[-1][-1]


@given(a=st.text("abc", max_size=9), b=st.text("abcd", max_size=9))
@settings(max_examples=200, deadline=None)
def test_edit_distance_is_levenshteins(a, b):
    assert edit_distance(a, b) == edit_distance(b, a) == reference(a, b)


def test_edit_distance_by_hand():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == 3


def test_a_label_is_mapped_to_itself_and_ties_to_the_first():
    labels = ("Amount_Of", "Brand_Of", "Coulombic Efficiency", "not glass", "glass")
    assert [closest(label, labels) for label in labels] == list(labels)
    assert closest("COULOMBIC  efficiency", labels) == "Coulombic Efficiency"
    assert closest("b", ("ab", "cb", "b2")) == "ab"
    assert closest("b", ("cb", "ab", "b2")) == "cb"
    assert closest("", ("abc", "ab")) == "ab"
    with pytest.raises(DataError, match="no label"):
        closest("x", ())


@pytest.fixture(scope="module")
def fitted():
    processor = PromptProcessor(vocab_size=400, max_length=128)
    processor.read_tables(LABELS)
    processor.fit([NER.source(), RC.source(), refused("broken")])
    return processor


def test_a_sample_is_question_then_text(fitted):
    ids = fitted.load(NER.source())["ids"]
    assert ids[0] == CLS
    assert ids[-1] == SEP
    cut = int(np.flatnonzero(ids == SEP)[0])
    assert "choices : device,material,value" in fitted.decode(ids[1:cut])
    assert fitted.decode(ids[cut + 1 : -1]) == NER.text.lower()


@pytest.mark.parametrize("where", [0, 40, 199])
def test_a_long_text_is_cut_around_its_span(fitted, where):
    words = [f"w{i}" for i in range(200)]
    words[where] = "zirconia"
    text = " ".join(words)
    question = Question("ner", "sofc_token", text, "zirconia", text.index("zirconia"), "", "MATERIAL")
    sample = fitted.load(question.source())
    assert len(sample["ids"]) == 128
    cut = int(np.flatnonzero(sample["ids"] == SEP)[0])
    assert "zirconia" in fitted.decode(sample["ids"][cut + 1 :])
    assert int(sample["dropped"]) == len(fitted.pieces(text)[0]) - (128 - 3 - (cut - 1))


def test_a_question_without_room_is_a_bad_record(fitted):
    tight = PromptProcessor(vocab_size=400, max_length=20)
    tight.adopt(fitted)
    tight.read_tables(LABELS)
    with pytest.raises(DataError, match="max_length is 20; raise max_length"):
        tight.load(NER.source())


def test_faults_of_records_and_settings(fitted, tmp_path):
    with pytest.raises(DataError, match=r"^broken$"):
        fitted.load(refused("broken"))
    with pytest.raises(DataError, match="task is 'x'"):
        read_question(Question("x", "c", "t", "", 0, "", "a").source())
    with pytest.raises(DataError, match="the answer is empty"):
        read_question(Question("ner", "c", "t", "", 0, "", " ").source())
    with pytest.raises(ConfigError, match="style: is 'all'"):
        PromptProcessor(style="all")
    with pytest.raises(ConfigError, match="no labels of 'sc_comics/ner'"):
        fitted.load(Question("ner", "sc_comics", "t", "t", 0, "", "a").source())
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: is missing"):
        PromptProcessor().restore(tmp_path)


def test_a_saved_processor_asks_the_same(fitted, tmp_path):
    fitted.save(tmp_path)
    again = PromptProcessor(**fitted.config())
    again.restore(tmp_path)
    np.testing.assert_array_equal(again.load(RC.source())["ids"], fitted.load(RC.source())["ids"])
    assert again.fingerprint() == fitted.fingerprint()
    answer = AnswerProcessor(of="prompt")
    answer.adopt(again)
    assert answer.decode(answer.load(RC.source())["ids"]) == "target"
