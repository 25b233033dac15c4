"""The files of MolFM's knowledge graph (BMKG): molecules, proteins, links between them.

drug.json     {id: {"SMILES": str, "text": str}}     either may be missing or empty
protein.json  {id: {"sequence": str, "text": str}}
entity.json   {id: {"text": str}}                    optional, ours: entities that are neither
links.csv     columns h, t, r in any order, further ones ignored; h and t are ids, r is the name of a relation
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.data.layout import require
from core.data.text import read_text
from core.errors import DataError
from domains.molecules.kg.triples import Triple

DRUGS, PROTEINS, ENTITIES, LINKS = "drug.json", "protein.json", "entity.json", "links.csv"
COLUMNS = ("h", "t", "r")
SOURCE = "github.com/PharMolix/OpenBioMed (BMKG)"


@dataclass(frozen=True, slots=True)
class Bundle:
    """drugs: id -> (SMILES, text), "" where missing. texts: of the other entities. links: each once, in file order.
    loose: links that name an id of none of the files; they are left out."""

    drugs: dict[str, tuple[str, str]]
    texts: dict[str, str]
    links: list[Triple]
    loose: list[Triple] = field(default_factory=list)


def read_bundle(root: Path) -> Bundle:
    """The graph in `root`. Raises DataError naming the file, and the entry or line, that is not of this form."""
    paths = {"molecules": root / DRUGS, "proteins": root / PROTEINS, "links": root / LINKS}
    if not paths["links"].exists() and (pickles := sorted(root.glob("*.pkl"))):
        raise DataError(
            f"{pickles[0]}: holds pickled objects, which are never loaded; write its `triplets` as {LINKS} with the "
            f"columns h, t, r, beside {DRUGS} and {PROTEINS}"
        )
    require(root, paths, owner="MolFM bundle", source=SOURCE)
    drugs = {name: (_text(e, "SMILES", paths["molecules"], name), _text(e, "text", paths["molecules"], name))
             for name, e in _entries(paths["molecules"]).items()}  # fmt: skip
    texts = {name: _text(e, "text", paths["proteins"], name) for name, e in _entries(paths["proteins"]).items()}
    further = root / ENTITIES
    if further.exists():
        texts |= {name: _text(e, "text", further, name) for name, e in _entries(further).items()}
    known = drugs.keys() | texts.keys()
    links = list(dict.fromkeys(_links(paths["links"])))
    kept = [link for link in links if link.head in known and link.tail in known]
    if not kept:
        first = f", the first is {' | '.join(links[0])}" if links else ""
        raise DataError(
            f"{paths['links']}: none of {len(links)} links joins ids of {DRUGS}, {PROTEINS} or {ENTITIES}{first}; "
            "are the files of the same release?"
        )
    return Bundle(drugs, texts, kept, [link for link in links if not (link.head in known and link.tail in known)])


def write_bundle(
    root: Path,
    *,
    drugs: Mapping[str, tuple[str, str]],
    entities: Mapping[str, str],
    links: Iterable[Triple],
    proteins: Mapping[str, str] | None = None,
) -> None:
    """Write the four files. drugs: id -> (SMILES, text). entities, proteins: id -> text."""
    _write_json(root / DRUGS, {name: {"SMILES": smiles, "text": text} for name, (smiles, text) in drugs.items()})
    _write_json(root / PROTEINS, {name: {"sequence": "", "text": text} for name, text in (proteins or {}).items()})
    _write_json(root / ENTITIES, {name: {"text": text} for name, text in entities.items()})
    with open(root / LINKS, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((link.head, link.tail, link.relation) for link in links)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=0), encoding="utf-8")


def _entries(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as err:
        raise DataError(f"{path}: not JSON (line {err.lineno}); fetch it again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds a {type(found).__name__}, expected {{id: {{...}}}}")
    for name, entry in found.items():
        if not isinstance(entry, dict):
            raise DataError(f"{path}: entry '{name}' is a {type(entry).__name__}, expected an object with its fields")
    return found


def _text(entry: Mapping[str, Any], key: str, path: Path, name: str) -> str:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{path}: '{key}' of '{name}' is a {type(value).__name__}, expected text")
    return (value or "").strip()


def _links(path: Path) -> Iterable[Triple]:
    rows = csv.reader(read_text(path).splitlines())
    header = [cell.strip().lower() for cell in next(rows, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise DataError(f"{path}: has the columns {header[:6]}, expected h, t, r ({', '.join(missing)} missing)")
    at = [header.index(name) for name in COLUMNS]
    for row in rows:
        if not row:
            continue
        cells = [row[i].strip() if i < len(row) else "" for i in at]
        if not all(cells):
            empty = next(name for name, cell in zip(COLUMNS, cells, strict=True) if not cell)
            raise DataError(f"{path}, line {rows.line_num}: '{empty}' is empty; give it or remove the line")
        yield Triple(head=cells[0], relation=cells[2], tail=cells[1])
