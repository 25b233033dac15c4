"""The embedded default dataset: real structures that come with RDKit, with descriptions made by rule.

What is real: every structure, and that someone registered, bought or drew it. What is not: the descriptions, which are
computed from the structure by `domains.molecules.describe`; nobody measured or wrote anything they say.
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from core.data.built import build_once, cache_root
from core.data.tables import hash_share
from core.errors import ConfigError, DataError
from domains.molecules.data.pubchem import PubChemSTM

VERSION = "1"
HELD_OUT = {"test": 500, "val": 200}
LARGEST_HELD_OUT = 8  # molecules of one scaffold in a held-out split: no scaffold makes up more of it
ATOMS = (6, 60)


class ShippedMolecules(PubChemSTM):
    """Modalities "graph" (real) and "text" (made by rule: four paragraphs, one per line), in the PubChemSTM layout.

    Molecules of 6 to 60 heavy atoms, each once by isomeric SMILES. test (500) and val (200) hold whole scaffolds that
    no other split has. root: a folder to read or build in; None = the cache. most: molecules in all, None = every one.
    """

    name: ClassVar[str] = "ShippedMolecules (structures real, descriptions made by rule)"
    licence: ClassVar[str] = "BSD-3-Clause (RDKit); NCI: public domain"
    source: ClassVar[str] = "files of the installed RDKit, described on first use"

    def __init__(self, *, split: str, root: Path | None = None, most: int | None = None) -> None:
        if most is not None and most < 50:
            raise ConfigError(f"most: is {most}; give at least 50 molecules")
        built = None if root is None else Path(root)
        if built is None or not (built / "splits.csv").exists():
            built = build(folder=built, most=most)
        super().__init__(root=built, split=split)


def build(*, folder: Path | None = None, most: int | None = None) -> Path:
    """The folder of the described molecules; built if it is not there yet."""
    from rdkit import rdBase

    version = f"{VERSION}-rdkit{rdBase.rdkitVersion}-{'all' if most is None else most}"
    target = cache_root() / "shipped_molecules" / version if folder is None else folder
    about = {"name": ShippedMolecules.name, "simulated": False, "descriptions": "made by rule", "version": version}
    return build_once(target, lambda empty: write(empty, most=most), version=version, about=about)


def write(root: Path, *, most: int | None = None) -> None:
    """Write raw/CID2text.json, raw/CID2SMILES.csv, splits.csv and sources.csv below `root`, the same each time."""
    from domains.molecules.describe import facts_of, paragraphs
    from domains.molecules.io.rdkit import silent

    texts: dict[str, list[str]] = {}
    smiles: dict[str, str] = {}
    groups: dict[str, str] = {}
    origins: dict[str, str] = {}
    for origin, name, key, mol in _ticked(shipped_molecules(), most):
        with silent():
            facts = facts_of(mol)
        texts[name] = paragraphs(facts, zlib.crc32(key.encode()))
        smiles[name], origins[name] = key, origin
        groups[name] = facts.scaffold or f"acyclic:{key}"
    splits = deal(groups)
    (root / "raw").mkdir()
    (root / "raw" / "CID2text.json").write_text(json.dumps(texts, indent=0), encoding="utf-8")
    _table(root / "raw" / "CID2SMILES.csv", ["CID", "SMILES"], smiles.items())
    _table(root / "splits.csv", ["CID", "group", "split"], ((n, groups[n], splits[n]) for n in smiles))
    _table(root / "sources.csv", ["CID", "source"], origins.items())


def deal(groups: dict[str, str]) -> dict[str, str]:
    """Split of each molecule: small scaffolds in the order of their hash until test and val are full, the rest train.

    Splits hold whole scaffolds. With few molecules at most a tenth goes to either.
    """
    members: dict[str, list[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    splits = dict.fromkeys(groups, "train")
    room = {part: min(count, max(1, len(groups) // 10)) for part, count in HELD_OUT.items()}
    for group in sorted(members, key=lambda g: hash_share(g, salt="shipped")):
        for part in room:
            if len(members[group]) <= min(room[part], LARGEST_HELD_OUT):
                room[part] -= len(members[group])
                splits |= dict.fromkeys(members[group], part)
                break
    return splits


def shipped_molecules() -> Iterator[tuple[str, str, str, object]]:
    """(source, name, isomeric SMILES, molecule) of every readable molecule, each once."""
    from domains.molecules.data.shipped import STRUCTURES
    from domains.molecules.io import read_molecule
    from domains.molecules.standardise import isomeric_key

    seen: set[str] = set()
    names: set[str] = set()
    for origin, read in STRUCTURES.items():
        for name, text in read():
            try:
                mol = read_molecule(text)
            except DataError:  # eight of them have impossible valences: the originals are left as they are
                continue
            if not ATOMS[0] <= mol.GetNumHeavyAtoms() <= ATOMS[1]:
                continue
            key = isomeric_key(mol)
            if key not in seen and name not in names:
                seen.add(key)
                names.add(name)
                yield origin, name, key, read_molecule(key)


def _ticked(
    molecules: Iterator[tuple[str, str, str, object]], most: int | None
) -> Iterator[tuple[str, str, str, object]]:
    """At most `most` of them, with a bar on stderr."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("describing molecules (once)", total=most)
        for count, found in enumerate(molecules):
            if most is not None and count >= most:
                return
            yield found
            bar.update(task, completed=count + 1)


def _table(path: Path, header: list[str], rows: object) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)  # type: ignore[arg-type]
