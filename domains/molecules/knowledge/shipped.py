"""The embedded data of MolFM: real molecules of RDKit, descriptions and a knowledge graph made by RULE from them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import ClassVar

from core.data.built import build_once, cache_root
from core.errors import DataError
from domains.molecules.data import samples
from domains.molecules.kg.triples import Triple
from domains.molecules.knowledge.bundle import write_bundle
from domains.molecules.knowledge.layouts import MolFMBundle

VERSION = "1"
FEWEST = 2  # training molecules that an entity has to be said of


class ShippedKnowledge(MolFMBundle):
    """Modalities "graph" (real), "text" and "neighbours" (made by rule), in MolFM's layout; the splits are those of
    `ShippedMolecules`. The graph says what `statements` computes from a structure: scaffold, BRICS fragments, groups,
    rings, bands of properties. An entity that fewer than two training molecules have is left out.

    root: a folder to read or build in; None = the cache. most: molecules in all, None = every one.
    """

    name: ClassVar[str] = "ShippedKnowledge (structures real, descriptions and graph made by rule)"
    licence: ClassVar[str] = samples.ShippedMolecules.licence
    source: ClassVar[str] = "files of the installed RDKit, described on first use"

    def __init__(self, *, split: str, root: Path | None = None, most: int | None = None) -> None:
        built = None if root is None else Path(root)
        if built is None or not (built / "links.csv").exists():
            built = build(folder=built, most=most)
        super().__init__(root=built, split=split)


def build(*, folder: Path | None = None, most: int | None = None) -> Path:
    """The folder of the molecules and their graph; built if it is not there yet."""
    from rdkit import rdBase

    described = samples.ShippedMolecules(split="train", most=most).root
    version = f"{VERSION}-{samples.VERSION}-rdkit{rdBase.rdkitVersion}-{'all' if most is None else most}"
    target = cache_root() / "shipped_knowledge" / version if folder is None else folder
    about = {"name": ShippedKnowledge.name, "simulated": False, "graph": "made by rule", "version": version}
    return build_once(target, lambda empty: write(empty, described), version=version, about=about)


def write(root: Path, described: Path) -> None:
    """Write a bundle of the molecules in `described` (as `samples.write` leaves them), the same each time."""
    from core.data.tables import read_table
    from domains.molecules.describe import facts_of
    from domains.molecules.io import read_molecule
    from domains.molecules.io.rdkit import silent
    from domains.molecules.knowledge.statements import statements

    texts = json.loads((described / "raw" / "CID2text.json").read_text(encoding="utf-8"))
    table = read_table(described / "raw" / "CID2SMILES.csv", ["CID", "SMILES"])
    splits = read_table(described / "splits.csv", ["CID", "group", "split"])
    part = dict(zip(splits["CID"], splits["split"], strict=True))
    drugs = {name: (smiles, "\n".join(texts[name])) for name, smiles in zip(table["CID"], table["SMILES"], strict=True)}
    said: dict[str, list[tuple[str, str]]] = {}
    for name in _ticked(drugs):
        with silent():
            mol = read_molecule(drugs[name][0])
            said[name] = statements(mol, facts_of(mol))
    seen = Counter(entity for name, found in said.items() if part[name] == "train" for _, entity in found)
    kept = {entity for entity, count in seen.items() if count >= FEWEST}
    if kept & drugs.keys():
        raise DataError(
            f"{root}: an entity has the name of a molecule, '{min(kept & drugs.keys())}'; nothing was built"
        )
    links = [Triple(name, r, entity) for name, found in said.items() for r, entity in found if entity in kept]
    write_bundle(root, drugs=drugs, entities={e: e.partition(":")[2] for e in sorted(kept)}, links=links)
    splits.rename(columns={"CID": "id"}).to_csv(root / "splits.csv", index=False, lineterminator="\n")


def _ticked(drugs: dict[str, tuple[str, str]]):  # type: ignore[no-untyped-def]
    """Their names, with a bar on stderr."""
    from rich.console import Console
    from rich.progress import track

    return track(list(drugs), "linking molecules (once)", console=Console(stderr=True), transient=True)
