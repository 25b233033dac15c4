"""XAlign's folders, and the rule-made facts in their layout."""

import json

import pytest

from core.data.layout import verify
from core.errors import ConfigError, DataError
from domains.molecules.facts.fact import read_statement
from domains.molecules.facts.layout import XAlign
from domains.molecules.facts.rule_made import CLAUSES, NAMES, RuleMadeFacts, sentence, write

# the two records that the dataset's own description shows
ENGLISH = {
    "sentence": "Mark Paul Briers (born 21 April 1968) is a former English cricketer.",
    "facts": [
        {"subject": "Mark Briers", "predicate": "date of birth", "object": "21 April 1968", "qualifiers": []},
        {"subject": "Mark Briers", "predicate": "occupation", "object": "cricketer", "qualifiers": []},
    ],
    "language": "en",
}
HINDI = {
    "sentence": "बोरिस पास्तेरनाक १९५८ में साहित्य के क्षेत्र में नोबेल पुरस्कार विजेता रहे हैं।",
    "facts": [{
        "subject": "Boris Pasternak", "predicate": "nominated for", "object": "Nobel Prize in Literature",
        "qualifiers": [{"qualifier_predicate": "point in time", "qualifier_object": "1958"}],
    }],
    "language": "hi",
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    for code, row in (("en", ENGLISH), ("hi", HINDI)):
        (tmp_path / code).mkdir()
        for split in ("train", "val", "test"):
            (tmp_path / code / f"{split}.jsonl").write_text(json.dumps(row, ensure_ascii=code == "en") + "\n\n")
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write(folder, sentences=60)
    return folder


def test_lines_of_all_languages_are_records(root):
    layout = XAlign(root=root, split="train")
    assert layout.languages == ("en", "hi")
    statements = [read_statement(record.sources["facts"]) for record in layout]
    assert [s.language for s in statements] == ["en", "hi"]
    assert statements[1].facts[0].qualifiers == (("point in time", "1958"),)
    assert len(XAlign(root=root, split="test", languages=["hi"])) == 1


def test_faults_name_the_file_or_the_setting(root, tmp_path):
    with pytest.raises(ConfigError, match="there is no 'hn'"):
        XAlign(root=root, split="train", languages=["hn"])
    with pytest.raises(DataError, match="val split in tamil"):
        XAlign(root=root, split="val", languages=["ta"])
    (root / "en" / "val.jsonl").write_text("{broken\n")
    record = XAlign(root=root, split="val", languages=["en"]).record(0)
    with pytest.raises(DataError, match="not a line of JSON"):
        read_statement(record.sources["facts"])
    with pytest.raises(DataError, match="the XAlign dataset is empty here"):
        XAlign(root=root / "en", split="train")


def test_rule_made_sentences_say_their_facts_in_each_language():
    told = {"color": 0, "location of discovery": 1}
    assert sentence(0, told, 2, "en") == "Arvite is red in color and was found in Paris in 1837."
    assert sentence(0, told, 2, "hi") == "अर्वाइट लाल रंग का है और 1837 में पेरिस में खोजा गया था।"
    assert sentence(0, told, None, "bn") == "আর্ভাইট লাল রঙের এবং প্যারিস শহরে আবিষ্কৃত হয়েছিল।"
    assert all(len(entry) == 3 for entries in NAMES.values() for entry in entries)


def test_no_fact_of_the_test_is_trained_on(made):
    layouts = [RuleMadeFacts(root=made, split=split) for split in ("train", "val", "test")]
    assert verify(layouts) == []
    assert layouts[0].simulated
    pairs = [
        {(f.subject, f.object) for r in layout for f in read_statement(r.sources["facts"]).facts} for layout in layouts
    ]
    assert pairs[2]
    assert not pairs[2] & (pairs[0] | pairs[1])


def test_only_training_sentences_are_noisy(made, tmp_path):
    def wrong(folder, split):
        count = 0
        for record in RuleMadeFacts(root=folder, split=split, languages=["en"]):
            s = read_statement(record.sources["facts"])
            named = {f.relation for f in s.facts}
            said = {r for r, (_, words) in CLAUSES.items() if max(words[0].split("{o}"), key=len) in s.sentence}
            count += named != said
        return count

    assert wrong(made, "test") == wrong(made, "val") == 0
    assert 1 <= wrong(made, "train") <= 15  # a tenth of 60
    write(tmp_path, sentences=60, noise=0)
    assert wrong(tmp_path, "train") == 0


def test_the_same_seed_writes_the_same_files(made, tmp_path):
    write(tmp_path, sentences=60)
    assert all((tmp_path / p.relative_to(made)).read_bytes() == p.read_bytes() for p in made.rglob("*.jsonl"))
