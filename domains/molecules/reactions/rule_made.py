"""RULE-MADE reactions of real molecules: what a pattern makes of building blocks that ship with RDKit, with procedures.

Written in OpenExp's layout and read back by its class. Real: the building blocks. By rule: which of them react, what
comes out, what is added, the temperatures, durations and steps; nobody carried any of it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.data.built import build_once, cache_root, simulating
from core.data.tables import hash_share
from core.errors import ConfigError, DataError
from domains.molecules.data.reactions import OpenExp
from domains.molecules.data.split import group_of, split_of
from domains.molecules.reactions.templates import CLASSES, FIXED, SPOILERS, TEMPLATES, Template, procedure

VERSION = "1"
FILES = {"train": "train.json", "val": "valid.json", "test": "test.json"}
POOL = 90  # building blocks of a class: few enough that each is in many reactions
ATOMS = (4, 16)  # heavy atoms of a building block


class RuleMadeReactions(OpenExp):
    """`OpenExp` of rule-made reactions: 8 kinds, `most` in all, scaffolds of products in one split each.

    root: a folder to read or build in; None = the cache.
    """

    name: ClassVar[str] = "RuleMadeReactions (building blocks real; reactions and procedures made by rule)"
    licence: ClassVar[str] = "BSD-3-Clause (RDKit); NCI: public domain"
    source: ClassVar[str] = "files of the installed RDKit, put together on first use"
    simulated: ClassVar[bool] = True

    def __init__(self, *, split: str, root: Path | None = None, most: int = 2400) -> None:
        if most < 80:
            raise ConfigError(f"most: is {most}; give at least 80 reactions")
        built = None if root is None else Path(root)
        if built is None or not (built / FILES["train"]).exists():
            built = build(folder=built, most=most)
        super().__init__(root=built, split=split)


def build(*, folder: Path | None = None, most: int = 2400) -> Path:
    """The folder of the reactions; built if it is not there yet."""
    from rdkit import rdBase

    version = f"{VERSION}-rdkit{rdBase.rdkitVersion}-{most}"
    target = cache_root() / "rule_made_reactions" / version if folder is None else folder
    about = {"name": RuleMadeReactions.name, "simulated": True, "version": version}

    def write(empty: Path) -> None:
        with simulating("reactions", most, target) as tell:
            rows: dict[str, list[dict[str, Any]]] = {part: [] for part in FILES}
            for number, row in enumerate(reactions(most)):
                rows[split_of(group_of(row["PRODUCT"][0]), salt="reactions")].append(row)
                tell(number + 1, most)
        for part, file in FILES.items():
            (empty / file).write_text(json.dumps(rows[part], indent=0), encoding="utf-8")

    return build_once(target, write, version=version, about=about)


def reactions(most: int) -> Iterator[dict[str, Any]]:
    """Rows of OpenExp, kinds in turn, no product twice; the same each time."""
    from rdkit.Chem import rdChemReactions

    from domains.molecules.io.rdkit import silent

    blocks = building_blocks()
    rng = np.random.default_rng(0)
    seen: set[str] = set()
    number, idle = 0, 0
    with silent():
        runners = [rdChemReactions.ReactionFromSmarts(template.pattern) for template in TEMPLATES]
        while number < most and idle < 50 * len(TEMPLATES):
            at = int(rng.integers(len(TEMPLATES)))
            row = _one(TEMPLATES[at], runners[at], blocks, rng)
            if row is None or row["PRODUCT"][0] in seen:
                idle += 1
                continue
            idle = 0
            seen.add(row["PRODUCT"][0])
            yield {"index": number, **row}
            number += 1


@cache
def building_blocks() -> dict[str, list[str]]:
    """Class -> SMILES of shipped molecules that hold its pattern once and none of the other classes' nucleophiles."""
    from domains.molecules.data.shipped import STRUCTURES
    from domains.molecules.io.parse import read_many
    from domains.molecules.io.rdkit import chem
    from domains.molecules.standardise import isomeric_key

    Chem = chem()
    patterns = {name: Chem.MolFromSmarts(smarts) for name, smarts in CLASSES.items()}
    spoilers = [Chem.MolFromSmarts(smarts) for smarts in SPOILERS]
    found: dict[str, set[str]] = {name: set() for name in CLASSES}
    texts = [text for source in ("nci", "nibr", "wehi") for _, text in STRUCTURES[source]() if len(text) < 45]
    for mol in read_many([text for text in texts if "." not in text and "+" not in text]):
        if isinstance(mol, DataError) or not ATOMS[0] <= mol.GetNumHeavyAtoms() <= ATOMS[1]:
            continue
        if any(mol.HasSubstructMatch(spoiler) for spoiler in spoilers):
            continue
        held = {name: len(mol.GetSubstructMatches(pattern)) for name, pattern in patterns.items()}
        mine = [name for name, count in held.items() if count]
        if len(mine) == 1 and held[mine[0]] == 1:
            found[mine[0]].add(isomeric_key(mol))
    out = {name: sorted(texts, key=lambda t: hash_share(t, salt="block"))[:POOL] for name, texts in found.items()}
    return out | {name: list(texts) for name, texts in FIXED.items()}


def _one(
    template: Template, runner: Any, blocks: dict[str, list[str]], rng: np.random.Generator
) -> dict[str, Any] | None:
    """A row for two random building blocks; None when the pattern makes nothing, or more than one thing, of them."""
    from domains.molecules.describe import facts_of
    from domains.molecules.io.parse import read_molecule
    from domains.molecules.standardise import isomeric_key

    pair = [blocks[name][int(rng.integers(len(blocks[name])))] for name in template.classes]
    products = set()
    try:
        for (made,) in runner.RunReactants(tuple(read_molecule(text) for text in pair)):
            made.UpdatePropertyCache()
            products.add(isomeric_key(read_molecule(isomeric_key(made))))
    except (DataError, ValueError, RuntimeError):  # what the pattern makes is not a possible molecule
        return None
    if len(products) != 1:
        return None
    (product,) = products
    facts = facts_of(read_molecule(product))
    catalysts = list(template.catalysts[int(rng.integers(len(template.catalysts)))])
    solvent = template.solvents[int(rng.integers(len(template.solvents)))]
    temperature = template.temperatures[int(rng.integers(len(template.temperatures)))]
    duration = template.durations[int(rng.integers(len(template.durations)))]
    marks = {text: f"${i}$" for i, text in enumerate([*pair, *catalysts, solvent], start=1)}
    names = {
        "a": marks[pair[0]], "b": marks[pair[1]], "c": " and ".join(marks[c] for c in catalysts), "s": marks[solvent],
        "t": "#1#", "d": "@1@",
    }  # fmt: skip
    return {
        "REACTANT": pair, "PRODUCT": [product], "CATALYST": catalysts, "SOLVENT": [solvent],
        "actions": procedure(template, names, log_p=facts.log_p, polar_area=facts.polar_area),
        "source": f"rule-made: {template.name}", "extracted_molecules": {**marks, product: "$-1$"},
        "extracted_temperature": {temperature: "#1#"}, "extracted_duration": {duration: "@1@"},
        "molecules": [*marks, product], "score": 1.0,
    }  # fmt: skip
