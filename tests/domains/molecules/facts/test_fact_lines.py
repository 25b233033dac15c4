"""Facts as lines: round trip with qualifiers, order, names kept in their script, faults of records."""

import json

import pytest

from core.errors import DataError
from domains.molecules.facts.fact import Fact, Statement, plain_fact, plain_name, plain_relation, read_statement
from domains.molecules.facts.linear import HEAD, OBJECT, SECTION, line, parse, segments

PRIZE = Fact(
    "Boris Pasternak", "nominated for", "Nobel Prize (Literature)", (("point in time", "1958"), ("for work", "Zhivago"))
)
BORN = Fact("Boris Pasternak", "date of birth", "10 February, 1890")
OTHER = Fact("Zhivago", "author", "Boris Pasternak")


def told(*facts, language="hi", section="Early life"):
    return Statement(facts, language, "एक वाक्य।", section)


def test_the_line_is_as_the_publication_has_it():
    assert line(segments(told(PRIZE, BORN))) == (
        "generate hindi : <H> boris pasternak <R> date_of_birth <T> 10 february 1890 <R> nominated_for <T> nobel prize "
        "literature <QR> for_work <QT> zhivago <QR> point_in_time <QT> 1958 <S> early life"
    )


@pytest.mark.parametrize("structure", ["grouped", "flat"])
@pytest.mark.parametrize("facts", [(PRIZE,), (PRIZE, BORN), (OTHER, PRIZE, BORN)])
def test_a_line_is_read_back_with_its_qualifiers(structure, facts):
    language, found, section = parse(line(segments(told(*facts), structure=structure)))
    assert language == "hi"
    assert section == "early life"
    assert sorted(found) == sorted(plain_fact(fact) for fact in facts)


def test_sorted_facts_do_not_show_the_order_of_the_file():
    a, b = told(PRIZE, BORN, OTHER), told(OTHER, BORN, PRIZE, BORN)
    swapped = told(OTHER, BORN, Fact(PRIZE.subject, PRIZE.relation, PRIZE.object, PRIZE.qualifiers[::-1]))
    assert segments(a) == segments(b) == segments(swapped)[: len(segments(a))]
    assert segments(a, sort=False) != segments(told(BORN, PRIZE, OTHER), sort=False)


def test_a_group_names_its_entity_once_and_numbers_its_facts():
    parts = segments(told(PRIZE, BORN, OTHER))
    assert [p.text for p in parts if p.role == HEAD] == ["boris pasternak", "zhivago"]
    assert [p.fact for p in parts if p.role == OBJECT] == [1, 2, 3]
    assert [p.fact for p in parts if p.role in (HEAD, SECTION, 0)] == [0] * 4
    assert len([p for p in segments(told(PRIZE, BORN, OTHER), structure="flat") if p.role == HEAD]) == 3


def test_names_in_other_scripts_are_kept_unless_folding_is_asked_for():
    fact = Fact("Käthe", "born in", "নয়া দিল্লি", ())
    assert plain_fact(fact).object == "নয়া দিল্লি"
    assert plain_fact(fact).subject == "käthe"
    with pytest.raises(DataError, match="no letter or digit left"):
        plain_fact(fact, ascii_only=True)  # the erratum: the name is gone
    assert plain_name("Käthe", ascii_only=True) == "kathe"
    assert plain_relation("Place of birth (old)") == "place_of_birth_old"


def test_a_name_cannot_pass_for_a_marker():
    text = line(segments(told(Fact("a <R> b", "x", "y <T> z"), section="")))
    assert parse(text)[1] == (Fact("a r b", "x", "y t z"),)
    assert text.count("<R>") == text.count("<T>") == 1


@pytest.mark.parametrize(
    "text", ["write hindi : <H> a", "generate hindi : <T> a", "generate hindi : <H> a <R> b <QT> c"]
)
def test_lines_out_of_order_are_refused(text):
    with pytest.raises(DataError, match="facts line"):
        parse(text)


def test_a_record_goes_to_a_line_of_json_and_back():
    statement = told(PRIZE, BORN)
    assert read_statement(statement.source()) == statement
    assert json.loads(statement.source())["facts"][0]["qualifiers"][0] == {
        "qualifier_predicate": "point in time", "qualifier_object": "1958",
    }  # fmt: skip


GOOD = json.loads(told(PRIZE).source())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sentence": " "}, "'sentence' is ' '"),
        ({"language": "xx"}, "language is 'xx'"),
        ({"facts": []}, "at least one fact"),
        ({"facts": ["a"]}, "a fact is 'a'"),
        ({"facts": [{"subject": "a", "predicate": "b"}]}, "'object' is None"),
        ({"facts": [{"subject": "a", "predicate": "b", "object": "c", "qualifiers": ["d"]}]}, "list of objects"),
        ({"section": 3}, "'section' is 3"),
    ],
)
def test_a_broken_record_says_which_field(change, said):
    with pytest.raises(DataError, match=said):
        read_statement(json.dumps({**GOOD, **change}))


def test_a_line_that_is_no_json_is_named():
    with pytest.raises(DataError, match="not a line of JSON"):
        read_statement("{broken")
