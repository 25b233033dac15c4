"""A RULE-MADE graph whose relations depend on words of entity descriptions: to see whether a model reads them.

Every entity has a kind and a grade, both named in its description, among words that mean nothing. Relation r joins an
entity of kind k to those of kind (k + r + 1) modulo the number of kinds and of the same grade. Only a fifth of the
triples is trained on, which leaves most entities with one, so structure alone says little, while words say all.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from core.data.built import build_once, cache_root
from domains.molecules.kg.layouts import TripleFolder

KINDS = ("acid", "base", "salt", "ester", "ketone", "amine")
GRADES = (
    "pale", "dark", "bright", "dull", "clear", "cloudy", "coarse", "fine", "heavy", "light", "cold", "warm", "sour",
    "sweet", "bitter", "dry", "wet", "soft", "hard", "sharp", "blunt", "old", "new", "thin", "thick", "smooth", "rough",
    "plain", "rich", "poor",
)  # fmt: skip
RELATIONS = ("reacts_with", "dissolves", "forms")
FILLER = ("sample", "from", "shelf", "stored", "in", "glass", "bottle", "checked", "yearly", "by", "staff")
VERSION = "4"


class DescribedPairs(TripleFolder):
    """RULE-MADE: 180 entities, 3 relations, 20% of the triples to train on, a description of each entity."""

    name: ClassVar[str] = "DescribedPairs (rule-made)"
    licence: ClassVar[str] = "CC0-1.0"
    source: ClassVar[str] = "made by rule on first use"
    simulated: ClassVar[bool] = True

    def __init__(self, *, root: Path | None = None, split: str, shuffled: bool = False, seed: int = 0) -> None:
        """shuffled: descriptions are handed to the wrong entities, so that they tell nothing."""
        folder = root
        if folder is None:
            name = f"described_pairs-{'shuffled-' if shuffled else ''}{seed}"
            folder = build_once(
                cache_root() / "datasets" / name, lambda out: write(out, shuffled=shuffled, seed=seed), version=VERSION
            )
        super().__init__(root=folder, split=split)


def write(folder: Path, *, shuffled: bool = False, seed: int = 0, each: int = 1, trained: float = 0.2) -> None:
    """Write train.txt, valid.txt, test.txt and entity2text.txt. each: entities of a kind and grade; trained: share of
    the triples in training; a tenth is validation, the rest the test, so that the filter knows every true triple and a
    reader of the rule ranks all answers first. Each entity is in some training triple."""
    rng = np.random.default_rng(seed)
    kinds, grades = len(KINDS), len(GRADES)
    kind, grade = (x.ravel() for x in np.indices((kinds, grades, each))[:2])
    names = np.array([f"e{i:03d}" for i in rng.permutation(len(kind))])
    texts = []
    for k, g in zip(kind, grade, strict=True):
        words = [*rng.choice(FILLER, 4), KINDS[k], GRADES[g]]
        texts.append(" ".join(rng.permutation(words)))
    if shuffled:
        texts = [texts[i] for i in rng.permutation(len(texts))]
    same_NN = grade[:, None] == grade[None]
    triples = []
    for r in range(len(RELATIONS)):
        head, tail = np.nonzero(same_NN & ((kind[:, None] + r + 1) % kinds == kind[None]))
        triples += [f"{names[h]}\t{RELATIONS[r]}\t{names[t]}\n" for h, t in zip(head, tail, strict=True)]
    order = rng.permutation(len(triples))
    count = len(triples)
    cuts = np.cumsum([round(trained * count), round(0.1 * count)])
    parts = dict(zip(("train", "valid", "test"), np.split(order, cuts), strict=True))
    seen: set[str] = set()
    for i in parts["train"]:
        seen |= set(triples[i].split()[::2])
    moved: list[int] = []
    for i in parts["test"]:
        new = set(triples[i].split()[::2]) - seen
        if new:
            moved, seen = [*moved, i], seen | new
    parts["train"] = np.append(parts["train"], moved).astype(int)
    parts["test"] = parts["test"][~np.isin(parts["test"], moved)]
    for name, rows in parts.items():
        (folder / f"{name}.txt").write_text("".join(triples[i] for i in rows), encoding="utf-8")
    described = "".join(f"{n}\t{t}\n" for n, t in zip(names, texts, strict=True))
    (folder / "entity2text.txt").write_text(described, encoding="utf-8")
