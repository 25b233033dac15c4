"""The rule-made set: deterministic, ambiguous by name, held out by entity."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("rdkit")

from core.data.layout import verify
from core.errors import ConfigError
from core.files import read_manifest
from domains.molecules.linking.rule_made import RuleMadeLinking
from domains.molecules.linking.rule_made.write import SHARED, write

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def layouts():
    return {split: RuleMadeLinking(split=split, names=10) for split in SPLITS}


def test_every_name_is_that_of_four_molecules(layouts):
    kb = layouts["test"].kb
    assert len(kb) == 10 * SHARED
    assert set(Counter(e.name for e in kb.entities).values()) == {SHARED}
    assert len({e.description for e in kb.entities}) > len(kb) / 2


def test_no_held_out_entity_is_the_answer_of_a_training_mention(layouts):
    answers = {split: set(layout.answers) for split, layout in layouts.items()}
    assert not answers["train"] & (answers["val"] | answers["test"])
    assert not answers["val"] & answers["test"]
    assert verify(list(layouts.values())) == []


def test_it_says_that_it_is_made_by_rule(layouts):
    assert all(layout.simulated for layout in layouts.values())
    assert "made by rule" in RuleMadeLinking.name
    assert read_manifest(layouts["test"].root)["about"]["simulated"] is True


def test_some_pictures_are_missing_and_sentences_name_their_entity(layouts):
    train = layouts["train"]
    records = list(train)
    share = sum("mention_image" in r.sources for r in records) / len(records)
    assert 0.75 < share < 1
    for record, answer in zip(records, train.answers, strict=True):
        assert train.kb.entities[answer].name in record.sources["mention"]


def test_the_same_seed_writes_the_same_files_and_another_one_others(tmp_path):
    written = []
    for seed in (3, 3, 4):
        folder = tmp_path / str(len(written))
        folder.mkdir()
        write(folder, names=10, seed=seed)
        written.append({p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})
    assert written[0] == written[1]
    assert written[0]["kb_entity.json"] != written[2]["kb_entity.json"]


def test_too_few_names_are_refused():
    with pytest.raises(ConfigError, match="names: is 3; give at least 10"):
        RuleMadeLinking(split="test", names=3)
