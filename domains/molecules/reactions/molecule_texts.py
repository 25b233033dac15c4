"""What is told of a molecule beside its structure: an abstract and properties, from a file or made by rule."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.data.text import read_text
from core.errors import DataError
from domains.molecules.describe import facts_of, paragraphs
from domains.molecules.io.parse import read_molecule
from domains.molecules.io.rdkit import silent

FILE = "Abstract_property.json"  # as in the ReactXT release: a list of {canon_smiles, abstract, ...}


@dataclass(frozen=True, slots=True)
class MoleculeText:
    """abstract: "" where there is none. properties: name -> value."""

    abstract: str = ""
    properties: dict[str, float] = field(default_factory=dict)


def read_texts(path: Path) -> dict[str, MoleculeText]:
    """SMILES -> text of a file of ReactXT: a list of {canon_smiles, abstract?, and numbers by name, which are
    properties (also below a key "properties")}. Raises DataError naming the file and the entry."""
    try:
        rows: Any = json.loads(read_text(path))
    except json.JSONDecodeError as err:
        raise DataError(f"{path}: not JSON (line {err.lineno}); fetch it again") from None
    found = {}
    for number, row in enumerate(rows if isinstance(rows, list) else [rows]):
        if not isinstance(row, dict) or not isinstance(row.get("canon_smiles"), str):
            raise DataError(f"{path}: entry {number}: needs canon_smiles, as in a list of {{canon_smiles, abstract}}")
        given = {**row, **(row["properties"] if isinstance(row.get("properties"), dict) else {})}
        numbers = {k: float(v) for k, v in given.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
        found[row["canon_smiles"]] = MoleculeText(str(row.get("abstract") or "").strip(), numbers)
    return found


@lru_cache(maxsize=20_000)
def text_by_rule(smiles: str) -> MoleculeText:
    """Computed from the structure, and true of it; nothing in it was measured. Empty for an unreadable molecule."""
    try:
        mol = read_molecule(smiles)
    except DataError:
        return MoleculeText()
    with silent():
        facts = facts_of(mol)
    told = paragraphs(facts, zlib.crc32(smiles.encode()))[0]
    return MoleculeText(
        told,
        {"Molecular Weight": facts.weight, "LogP": facts.log_p, "Polar Area": facts.polar_area},
    )
