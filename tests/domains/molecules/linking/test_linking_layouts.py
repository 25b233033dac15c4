"""Entity linking sets as they are distributed: what is read, dropped, counted, and refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from linking_files import write_set

from core.data.layout import verify
from core.errors import DataError
from domains.molecules.data import layout_class
from domains.molecules.linking.sources import Pictures, parts_of

NAMES = {"wikimel": "WIKIMEL", "richpediamel": "RichpediaMEL", "wikidiverse": "WikiDiverse"}


@pytest.mark.parametrize(("layout", "prefix"), NAMES.items())
@pytest.mark.parametrize("folder", ["mention_image", "mention_images"])
def test_every_set_is_read_under_its_own_file_names(layout, prefix, folder, tmp_path):
    root = write_set(tmp_path / "set", prefix, folder=folder)
    found = layout_class(layout)(root=root, split="train")
    assert len(found) == 4
    assert found.record(1).sources["mention_image"] == Pictures(root / folder / "statue.jpg")


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "set")


@pytest.fixture
def train(root):
    return layout_class("wikimel")(root=root, split="train")


def test_mentions_of_nothing_are_dropped_and_counted(train, root):
    assert (train.nil, train.unknown, train.absent) == (1, 0, 1)
    dev = layout_class("wikimel")(root=root, split="val")
    assert (len(dev), dev.nil, dev.unknown) == (1, 0, 1)  # Q99 is not in the knowledge base


def test_entities_are_in_the_order_of_their_ids_and_names_are_unquoted(train):
    assert [(e.qid, e.name) for e in train.kb.entities] == [
        ("Q10", "Mercury"), ("Q20", "Mercury"), ("Q30", "Mercury (planet)")
    ]  # fmt: skip
    assert train.answers == [0, 1, 2, 0]


def test_a_record_holds_both_sides_and_a_missing_picture_is_absent(train, root):
    first, _, planet, lost = train
    assert parts_of(first.sources["mention"]) == ("", "mercury", "the thermometer held mercury")
    assert parts_of(first.sources["entity"]) == ("Q10", "Mercury", "a metal")
    assert first.sources["mention_image"].path.name == "thermo.meter.jpg"  # a name with a dot in it, and another suffix
    assert first.sources["entity_image"] == Pictures(root / "kb_image" / "Q10-a.jpg", ("Q10-b.jpg",))
    assert set(planet.sources) == {"mention", "entity"}  # neither has one
    assert set(lost.sources) == {"mention", "entity", "entity_image"}  # named, and not there
    assert train.kb.missing_pictures == 1
    assert verify([train]) == []


def test_further_names_of_an_entity_lead_to_it(root):
    ids = json.loads((root / "qid2id.json").read_text())
    (root / "qid2id.json").write_text(json.dumps(ids | {"Q99": 2, "Q98": 77}))
    dev = layout_class("wikimel")(root=root, split="val")
    assert (len(dev), dev.unknown) == (2, 0)
    assert dev.kb.entities[dev.answers[1]].qid == "Q30"


def test_tables_hold_the_knowledge_base_and_the_sentences(train):
    assert train.tables["entities"]["Q20"] == "Q20\tMercury\ta Roman god"
    assert len(train.tables["mentions"]) == 4
    assert np.unique([r.id for r in train]).size == 4


def broken(root, name, text):
    (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("kb_entity.json", "{", "kb_entity.json: not JSON"),
        ("kb_entity.json", "{}", "holds dict, expected list"),
        ("kb_entity.json", "[]", "no entity; expected a list of objects with id, qid"),
        ("kb_entity.json", "[3]", "entry 0 is int, expected an object"),
        ("kb_entity.json", '[{"id": 0, "qid": "Q1"}]', r"entry 0 has no 'entity_name' \(fields found: id, qid\)"),
        ("kb_entity.json", '[{"id": 0, "qid": 7, "entity_name": "a"}]', "'qid' is int, expected text"),
        ("WIKIMEL_test.json", '[{"answer": "Q10", "mentions": "a"}]', "WIKIMEL_test.json: entry 0 has no 'sentence'"),
        ("WIKIMEL_test.json", '[{"answer": "nil"}]', "expected mentions with an answer"),
        ("qid2id.json", "[]", "qid2id.json: holds list, expected dict"),
    ],
)
def test_a_broken_file_is_named_with_entry_and_field(name, text, said, root):
    with pytest.raises(DataError, match=said):
        layout_class("wikimel")(root=broken(root, name, text), split="test")


def test_a_qid_used_twice_and_a_missing_file_are_refused(root):
    rows = json.loads((root / "kb_entity.json").read_text())
    (root / "kb_entity.json").write_text(json.dumps([*rows, {**rows[0], "id": 9}]))
    with pytest.raises(DataError, match="qid 'Q30' was already used"):
        layout_class("wikimel")(root=root, split="test")
    (root / "WIKIMEL_test.json").unlink()
    with pytest.raises(DataError, match=r"WIKIMEL_test.json  \(mentions\)"):
        layout_class("wikimel")(root=root, split="test")
