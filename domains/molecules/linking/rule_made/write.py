"""Writes the rule-made entity linking set in the folders and fields of WikiMEL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.data.built import simulating
from core.data.tables import hash_share
from core.errors import DataError

SHARED = 4  # molecules of one name
SPLITS = {"train": 0.7, "dev": 0.1, "test": 0.2}  # shares of the names
MENTIONS = {"train": 4, "dev": 2, "test": 3}  # of each molecule
WITHOUT_PICTURE = 0.1  # of mentions, and of entities
HINTED = 0.5  # of the sentences
OF_NO_ENTITY = 0.02  # of the mentions
ATOMS = (10, 26)
SYLLABLES = (
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ka",
    "le",
    "mi",
    "no",
    "pu",
    "ra",
    "se",
    "ti",
    "vo",
    "zu",
    "dra",
    "kle",
    "spo",
)
ENDINGS = ("lin", "mer", "tane", "xol", "vide", "stat")
SENTENCES = (
    "The flask of {name} was left on the second shelf{hint}.",
    "We ordered {name} again{hint}, since the first batch was gone.",
    "According to the label{hint}, the vial holds {name}.",
    "A note from March says that {name}{hint} has to be kept dry.",
    "Who has taken the last gram of {name}{hint}?",
    "The drawing beside this line shows {name}{hint}.",
)
HINTS = (", the one with a {group}", ", of which the {group} is seen at once", ", which has a {group}")


def write(root: Path, *, names: int, seed: int) -> None:
    """Write kb_entity.json, qid2id.json, WIKIMEL_*.json, kb_image/ and mention_images/ below `root`."""
    from domains.molecules.linking.rule_made.draw import draw

    rng = np.random.default_rng(seed)
    molecules = list(chosen(names * SHARED, seed))
    called = invented(names, rng)
    part_of = _deal(names, rng)
    for folder in ("kb_image", "mention_images"):
        (root / folder).mkdir()
    entities: list[dict[str, Any]] = []
    mentions: dict[str, list[dict[str, Any]]] = {part: [] for part in SPLITS}
    with simulating("drawings", len(molecules), root) as tell:
        for i, (mol, features) in enumerate(molecules):
            name, part, qid = called[i // SHARED], part_of[i // SHARED], f"Q{i + 1}"
            pictures = []
            if rng.random() >= WITHOUT_PICTURE:
                pictures = [f"{qid}.jpg"]
                draw(mol, root / "kb_image" / pictures[0])
            entities.append({
                "id": i, "qid": qid, "entity_name": name, "desc": described(mol, features), "type": "entity",
                "image_list": pictures,
            })  # fmt: skip
            for k in range(MENTIONS[part]):
                picture = ""
                if rng.random() >= WITHOUT_PICTURE:
                    picture = f"{qid}-{k}.jpg"
                    draw(mol, root / "mention_images" / picture, rng)
                answer = "nil" if rng.random() < OF_NO_ENTITY else qid
                mentions[part].append({
                    "id": f"{part}-{qid}-{k}", "sentence": sentence(name, features, rng), "mentions": name,
                    "entities": name, "imgPath": picture, "answer": answer,
                })  # fmt: skip
            tell(i + 1, len(molecules))
    _dump(root / "kb_entity.json", entities)
    _dump(root / "qid2id.json", {e["qid"]: e["id"] for e in entities})
    for part, rows in mentions.items():
        _dump(root / f"WIKIMEL_{part}.json", rows)


def chosen(count: int, seed: int) -> Iterator[tuple[Any, list[str]]]:
    """`count` molecules of the NCI set, with their groups and rings, in an order that depends on the seed alone."""
    from domains.molecules.data.shipped import nci
    from domains.molecules.describe.groups import group_counts, ring_counts
    from domains.molecules.io import read_molecule
    from domains.molecules.io.rdkit import silent
    from domains.molecules.standardise import isomeric_key

    seen: set[str] = set()
    for _, text in sorted(nci(), key=lambda found: hash_share(found[1], salt=f"linking {seed}")):
        if len(seen) == count:
            return
        try:
            mol = read_molecule(text)
        except DataError:  # a few of them have impossible valences
            continue
        if not ATOMS[0] <= mol.GetNumHeavyAtoms() <= ATOMS[1] or "." in text:
            continue
        with silent():
            features = [*ring_counts(mol), *group_counts(mol)]
            key = isomeric_key(mol)
        if features and key not in seen:
            seen.add(key)
            yield mol, features
    if len(seen) < count:
        raise DataError(f"rule-made linking: {len(seen)} fitting molecules for {count}; ask for fewer names")


def described(mol: Any, features: Sequence[str]) -> str:
    """A true sentence about a structure."""
    return f"a molecule of {mol.GetNumHeavyAtoms()} heavy atoms with {', '.join(features)}"


def sentence(name: str, features: Sequence[str], rng: np.random.Generator) -> str:
    """A sentence with the name and, half the time, one group of the molecule."""
    hint = ""
    if rng.random() < HINTED:
        hint = HINTS[rng.integers(len(HINTS))].format(group=features[int(rng.integers(len(features)))])
    return SENTENCES[rng.integers(len(SENTENCES))].format(name=name, hint=hint)


def invented(count: int, rng: np.random.Generator) -> list[str]:
    """Different names of three parts; none is that of a substance on purpose."""
    every = [f"{a}{b}{c}" for a in SYLLABLES for b in SYLLABLES for c in ENDINGS]
    if count > len(every):
        raise DataError(f"rule-made linking: {count} names, of which there are {len(every)}; ask for fewer")
    return [every[i] for i in rng.permutation(len(every))[:count]]


def _deal(names: int, rng: np.random.Generator) -> list[str]:
    """The split of each name."""
    held = {part: max(1, round(share * names)) for part, share in SPLITS.items() if part != "train"}
    parts = ["train"] * (names - sum(held.values())) + [part for part, n in held.items() for _ in range(n)]
    return [parts[i] for i in rng.permutation(names)]


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
