"""RULE-MADE texts, questions and a graph about compounds that do not exist: facts that only the graph holds.

Every compound binds one protein, is found in one plant and treats one disease. Texts tell the facts of most compounds;
those of validation and test appear in no training text, and their facts are in the graph alone. Nothing about a
compound follows from its name, so a reader of texts alone can only guess among the candidates.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from core.data.built import build_once, cache_root
from domains.molecules.grounded.layouts import ConceptTexts, QAGraph

PROTEINS = ["trypsin", "renin", "thrombin", "pepsin", "papain", "urease"]
PLANTS = ["willow", "yew", "poppy", "foxglove", "nettle", "sage"]
DISEASES = ["gout", "asthma", "migraine", "malaria", "eczema", "anaemia"]
TAILS = {"binds": PROTEINS, "found_in": PLANTS, "treats": DISEASES}
TELLS = {
    "binds": ("{c} binds {t} .", "{c} is bound by {t} ."),
    "found_in": ("{c} is found in {t} .", "{c} comes from {t} ."),
    "treats": ("{c} treats {t} .", "{c} is given for {t} ."),
}
ASKS = {
    "binds": "Which protein does {c} bind ?",
    "found_in": "In which plant is {c} found ?",
    "treats": "Which disease does {c} treat ?",
}
ONSETS, VOWELS, ENDS = (
    ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"],
    ["a", "e", "i", "o", "u"],
    ("in", "ol", "ane", "ide", "ium"),
)
COUNTS = {"train": 1500, "valid": 100, "test": 300}
VERSION = "1"
Facts = Literal["true", "shuffled", "none"]


class Sheets(NamedTuple):
    """tail[relation][i]: position in TAILS[relation] of the tail of compound i. split: rows of each split."""

    compounds: list[str]
    tail: dict[str, np.ndarray]
    split: dict[str, np.ndarray]


class FactSheets(ConceptTexts):
    """RULE-MADE: 1,900 compounds, 18 tails, 5,700 facts; two texts about each, a fact in a text."""

    name: ClassVar[str] = "FactSheets (rule-made)"
    licence: ClassVar[str] = "CC0-1.0"
    source: ClassVar[str] = "made by rule on first use"
    simulated: ClassVar[bool] = True

    def __init__(self, *, root: Path | None = None, split: str, facts: Facts = "true", seed: int = 0) -> None:
        """facts: those of the graph: true, shuffled (tails handed to the wrong compounds; texts stay true), none."""
        super().__init__(root=built(facts, seed) if root is None else root, split=split, graph="umls")


class FactQuestions(QAGraph):
    """RULE-MADE: questions about the compounds of `FactSheets`, four choices each, in the layout of QA-GNN."""

    name: ClassVar[str] = "FactQuestions (rule-made)"
    licence: ClassVar[str] = "CC0-1.0"
    source: ClassVar[str] = "made by rule on first use"
    simulated: ClassVar[bool] = True

    def __init__(self, *, root: Path | None = None, split: str, facts: Facts = "true", seed: int = 0) -> None:
        folder = built(facts, seed) if root is None else root
        super().__init__(root=folder, split=split, graph="umls", graph_folder="umls")


def built(facts: Facts, seed: int) -> Path:
    """The folder of both layouts; written if it is not there yet."""
    folder = cache_root() / "datasets" / f"fact_sheets-{facts}-{seed}"
    return build_once(folder, lambda out: write(out, facts=facts, seed=seed), version=VERSION)


def write(folder: Path, *, facts: Facts = "true", seed: int = 0, counts: dict[str, int] | None = None) -> None:
    """Write umls/, text/, cloze/ and statement/ below `folder`. counts: compounds of each split."""
    rng = np.random.default_rng(seed)
    sheets = draw(rng, counts or COUNTS)
    _write_graph(folder / "umls", sheets, facts, np.random.default_rng([seed, 1]))
    for name in ("text", "cloze", "statement"):
        (folder / name).mkdir()
    for part, rows in sheets.split.items():
        texts = [_text(sheets, int(i), rng) for i in np.repeat(rows, 2)]
        (folder / "text" / f"{part}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        if part != "train":
            lines = [_cloze(sheets, int(i), relation) for i in rows for relation in TAILS]
            (folder / "cloze" / f"{part}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        asked = [_question(sheets, int(i), relation, rng) for i in rows for relation in TAILS]
        own = {"valid": "dev"}.get(part, part)
        (folder / "statement" / f"{own}.statement.jsonl").write_text("\n".join(asked) + "\n", encoding="utf-8")


def draw(rng: np.random.Generator, counts: dict[str, int]) -> Sheets:
    """Compounds with names of their own and a uniformly drawn tail for every relation."""
    total, names = sum(counts.values()), dict[str, None]()
    while len(names) < total:
        syllables = [rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(3)]
        names["".join(syllables) + rng.choice(["", "l", "r", "n"]) + rng.choice(ENDS)] = None
    tail = {relation: rng.integers(0, len(tails), total) for relation, tails in TAILS.items()}
    cuts = np.cumsum(list(counts.values()))[:-1]
    return Sheets(list(names), tail, dict(zip(counts, np.split(rng.permutation(total), cuts), strict=True)))


def _write_graph(folder: Path, sheets: Sheets, facts: Facts, rng: np.random.Generator) -> None:
    folder.mkdir()
    named = [*sheets.compounds, *(tail for tails in TAILS.values() for tail in tails)]
    cui = {name: f"C{i:07d}" for i, name in enumerate(sorted(named))}
    lines = []
    for relation, tails in TAILS.items():
        tail = sheets.tail[relation]
        if facts == "shuffled":
            tail = rng.permutation(tail)
        pairs = zip(sheets.compounds, tail, strict=True)
        lines += [f"{relation}\t{cui[name]}\t{cui[tails[t]]}\t1.0" for name, t in pairs]
    if facts == "none":  # a file of triples holds one at least; this one joins two tails
        lines = [f"binds\t{cui[PLANTS[0]]}\t{cui[PROTEINS[0]]}\t1.0"]
    (folder / "concepts.txt").write_text("\n".join(cui.values()) + "\n", encoding="utf-8")
    (folder / "concept_names.txt").write_text("".join(f"{c}\t{n}\n" for n, c in cui.items()), encoding="utf-8")
    (folder / "relations.txt").write_text("\n".join(TAILS) + "\n", encoding="utf-8")
    (folder / "umls.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _said(sheets: Sheets, i: int, relation: str, wording: str) -> str:
    return wording.format(c=sheets.compounds[i], t=TAILS[relation][sheets.tail[relation][i]])


def _text(sheets: Sheets, i: int, rng: np.random.Generator) -> str:
    relation = str(rng.choice(list(TAILS)))
    return _said(sheets, i, relation, str(rng.choice(TELLS[relation])))


def _cloze(sheets: Sheets, i: int, relation: str) -> str:
    before, after = TELLS[relation][0].format(c=sheets.compounds[i], t="\t").split("\t")
    tails: Sequence[str] = TAILS[relation]
    return "\t".join([before.strip(), tails[sheets.tail[relation][i]], after.strip(), "|".join(tails)])


def _question(sheets: Sheets, i: int, relation: str, rng: np.random.Generator) -> str:
    tails, right = TAILS[relation], int(sheets.tail[relation][i])
    wrong = rng.permutation([t for t in range(len(tails)) if t != right])[:3]
    order = rng.permutation([right, *wrong])
    stem = ASKS[relation].format(c=sheets.compounds[i])
    choices = [{"label": "ABCD"[n], "text": tails[t]} for n, t in enumerate(order)]
    key = "ABCD"[int(np.flatnonzero(order == right)[0])]
    statements = [{"label": c["label"] == key, "statement": f"{stem} {c['text']} ."} for c in choices]
    question = {"stem": stem, "choices": choices}
    return json.dumps({"id": f"{i}-{relation}", "question": question, "answerKey": key, "statements": statements})
