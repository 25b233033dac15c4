"""RULE-MADE facts about made-up minerals, told in English, Hindi and Bengali by templates, in the layout of XAlign.

The minerals do not exist and nothing said of them is true. Names of a fact are English, as in XAlign; the sentence
names things in its own language. No pair of mineral and object of a test fact occurs in training, so a test sentence
has to be composed. As in XAlign, training sentences may leave a fact out or tell one more (`noise`); test ones do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from core.data.built import build_once, cache_root
from core.errors import ConfigError
from domains.molecules.facts.fact import Fact, Statement
from domains.molecules.facts.layout import XAlign

VERSION = "1"
TAUGHT = ("en", "hi", "bn")
_NAMES = {
    "mineral": (
        "Arvite/अर्वाइट/আর্ভাইট Belnite/बेलनाइट/বেলনাইট Corvite/कोर्वाइट/কোর্ভাইট Dalrite/दालराइट/দালরাইট Emrite/एमराइट/এমরাইট "
        "Farnite/फार्नाइट/ফারনাইট Golvite/गोल्वाइट/গোলভাইট Hemrite/हेमराइट/হেমরাইট Jorvite/जोर्वाइट/জোরভাইট "
        "Kelnite/केलनाइट/কেলনাইট Lumrite/लुमराइट/লুমরাইট Tarsite/तारसाइट/তারসাইট"
    ),
    "color": (
        "red/लाल/লাল blue/नीले/নীল green/हरे/সবুজ yellow/पीले/হলুদ white/सफेद/সাদা black/काले/কালো brown/भूरे/বাদামী "
        "grey/धूसर/ধূসর"
    ),
    "element": (
        "tin/टिन/টিন carbon/कार्बन/কার্বন sodium/सोडियम/সোডিয়াম nickel/निकल/নিকেল oxygen/ऑक्सीजन/অক্সিজেন sulfur/गंधक/গন্ধক "
        "calcium/कैल्शियम/ক্যালসিয়াম nitrogen/नाइट्रोजन/নাইট্রোজেন"
    ),
    "place": (
        "Delhi/दिल्ली/দিল্লি Paris/पेरिस/প্যারিস London/लंदन/লন্ডন Berlin/बर्लिन/বার্লিন Kolkata/कोलकाता/কলকাতা Moscow/मास्को/মস্কো "
        "Rome/रोम/রোম Cairo/काहिरा/কায়রো"
    ),
    "use": (
        "glass/कांच/কাচ steel/इस्पात/ইস্পাত paint/पेंट/পেইন্ট magnets/चुंबक/চুম্বক medicine/दवा/ঔষধ paper/कागज/কাগজ "
        "soap/साबुन/সাবান cement/सीमेंट/সিমেন্ট"
    ),
    "year": " ".join("/".join([year] * 3) for year in "1811 1824 1837 1848 1856 1869 1873 1892".split()),  # noqa: SIM905
}  # fmt: skip
NAMES = {kind: [tuple(entry.split("/")) for entry in text.split()] for kind, text in _NAMES.items()}
# relation -> (kind of its object, clause in each language)
CLAUSES: dict[str, tuple[str, tuple[str, str, str]]] = {
    "associated with": ("mineral", ("occurs with {o}", "{o} के साथ मिलता है", "{o} এর সাথে পাওয়া যায়")),
    "color": ("color", ("is {o} in color", "{o} रंग का है", "{o} রঙের")),
    "has part": ("element", ("is made of {o}", "{o} से बना है", "{o} দিয়ে তৈরি")),
    "location of discovery": ("place", ("was found in {o}", "{o} में खोजा गया था", "{o} শহরে আবিষ্কৃত হয়েছিল")),
    "use": ("use", ("is used for making {o}", "{o} बनाने के लिए उपयोगी है", "{o} তৈরিতে ব্যবহৃত হয়")),
}  # fmt: skip
POINT_IN_TIME = "point in time"
WHEN = (" in {q}", "{q} में ", "{q} সালে ")
ALSO, STOP = (" and ", " और ", " এবং "), (".", "।", "।")


class RuleMadeFacts(XAlign):
    """RULE-MADE: 12 made-up minerals, one to four facts about one, a third of the sentences in each language."""

    name: ClassVar[str] = "XAlign layout (rule-made)"
    licence: ClassVar[str] = "CC0-1.0"
    source: ClassVar[str] = "made by rule on first use"
    simulated: ClassVar[bool] = True

    def __init__(
        self,
        *,
        root: Path | None = None,
        split: str,
        languages: Sequence[str] | None = None,
        sentences: int = 900,
        noise: float = 0.1,
        seed: int = 0,
    ) -> None:
        """sentences: of each language in training; a sixth of that in val and in test. noise: share of the training
        sentences that leave a fact out or tell one that is not given."""
        if sentences < 6 or not 0 <= noise < 1:
            raise ConfigError(f"sentences is {sentences}, at least 6; noise is {noise}, a share below 1")
        folder = root
        if folder is None:
            folder = build_once(
                cache_root() / "datasets" / f"xalign-{sentences}-{noise:g}-{seed}",
                lambda out: write(out, sentences=sentences, noise=noise, seed=seed),
                version=VERSION,
            )
        super().__init__(root=folder, split=split, languages=languages)


def write(folder: Path, *, sentences: int = 900, noise: float = 0.1, seed: int = 0) -> None:
    """Write `<language>/{train,val,test}.jsonl`."""
    sizes = {"train": sentences, "val": max(1, sentences // 6), "test": max(1, sentences // 6)}
    for number, language in enumerate(TAUGHT):
        (folder / language).mkdir()
        for part, (split, count) in enumerate(sizes.items()):
            rng = np.random.default_rng([seed, number, part])
            share = noise if split == "train" else 0.0
            rows = [statement(rng, language, held_out=split == "test", noise=share).source() for _ in range(count)]
            (folder / language / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def statement(rng: np.random.Generator, language: str, *, held_out: bool, noise: float = 0.0) -> Statement:
    """One to four facts about a mineral, in random order, and the sentence that tells them."""
    mineral = int(rng.integers(len(NAMES["mineral"])))
    relations = [str(r) for r in rng.choice(list(CLAUSES), size=int(rng.integers(1, 5)), replace=False)]
    picked = {relation: _object(rng, mineral, CLAUSES[relation][0], held_out=held_out) for relation in relations}
    year = int(rng.integers(len(NAMES["year"]))) if rng.random() < 0.6 else None
    told = dict(picked)
    if rng.random() < noise:
        rest = [relation for relation in CLAUSES if relation not in picked]
        if len(told) > 1 and rng.random() < 0.5:
            del told[relations[0]]
        else:
            more = rest[int(rng.integers(len(rest)))]
            told[more] = _object(rng, mineral, CLAUSES[more][0], held_out=held_out)
    facts = [_fact(mineral, relation, picked[relation], year) for relation in rng.permutation(relations)]
    return Statement(tuple(facts), language, sentence(mineral, told, year, language))


def _object(rng: np.random.Generator, mineral: int, kind: str, *, held_out: bool) -> int:
    """An object that goes with the mineral in this split: a quarter of the pairs is for the test alone."""
    while True:
        found = int(rng.integers(len(NAMES[kind])))
        if ((mineral + found) % 4 == 0) == held_out and not (kind == "mineral" and found == mineral):
            return found


def _fact(mineral: int, relation: str, found: int, year: int | None) -> Fact:
    kind = CLAUSES[relation][0]
    when = ((POINT_IN_TIME, NAMES["year"][year][0]),) if kind == "place" and year is not None else ()
    return Fact(NAMES["mineral"][mineral][0], relation, NAMES[kind][found][0], when)


def sentence(mineral: int, told: dict[str, int], year: int | None, language: str) -> str:
    """The facts in the order of their relations' names, as clauses of one sentence."""
    at = TAUGHT.index(language)
    clauses = []
    for relation in sorted(told):
        kind, wordings = CLAUSES[relation]
        clause = wordings[at].format(o=NAMES[kind][told[relation]][at])
        if kind == "place" and year is not None:
            when = WHEN[at].format(q=NAMES["year"][year][at])
            clause = clause + when if language == "en" else when + clause
        clauses.append(clause)
    joined = clauses[0] if len(clauses) == 1 else ", ".join(clauses[:-1]) + ALSO[at] + clauses[-1]
    return f"{NAMES['mineral'][mineral][at]} {joined}{STOP[at]}"
