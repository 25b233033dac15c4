"""Concept graphs as they are distributed, as `Layout.tables`: names, relations, triples.

UMLS Metathesaurus as prepared for DRAGON: `concepts.txt` (a CUI a line), `concept_names.txt` (CUI<TAB>name; a CUI may
have several lines), `relations.txt`, `umls.csv` (relation<TAB>subject<TAB>object<TAB>weight). The UMLS needs a licence
of one's own and cannot be passed on.
ConceptNet as prepared for QA-GNN: `concept.txt` (a concept a line, words joined by `_`), `conceptnet.en.csv`
(relation<TAB>head<TAB>tail<TAB>weight); relations are those of `relations.txt` where it is there, else in sorted order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from core.data.layout import require
from core.errors import ConfigError, DataError, nearest
from domains.molecules.kg.triples import read_lines

Tables = dict[str, Mapping[str, str]]


def read_umls(folder: Path) -> Tables:
    """Raises DataError naming file and line for what is not of the layout, or names what the lists do not hold."""
    files = {name: folder / name for name in ("concepts.txt", "concept_names.txt", "relations.txt", "umls.csv")}
    require(folder, files, owner="UMLS graph", source="your own UMLS licence, prepared as for DRAGON")
    concepts = _listed(files["concepts.txt"])
    names: dict[str, list[str]] = {concept: [] for concept in concepts}
    for number, line in enumerate(read_lines(files["concept_names.txt"]), start=1):
        concept, tab, name = line.partition("\t")
        if not line.strip():
            continue
        where = f"{files['concept_names.txt']}, line {number}"
        if not tab or not name.strip():
            raise DataError(f"{where}: is '{line[:60]}', expected CUI<TAB>name")
        if concept.strip() not in names:
            raise DataError(f"{where}: '{concept}' is not in concepts.txt{nearest(concept, list(names)[:1000])}")
        names[concept.strip()].append(" ".join(name.split()))
    relations = _listed(files["relations.txt"])
    return _tables({c: n or [c] for c, n in names.items()}, relations, files["umls.csv"])


def read_conceptnet(folder: Path) -> Tables:
    """Raises DataError as `read_umls` does."""
    files = {name: folder / name for name in ("concept.txt", "conceptnet.en.csv")}
    require(folder, files, owner="ConceptNet graph", source="https://conceptnet.io, prepared as for QA-GNN")
    concepts = {concept: [concept.replace("_", " ")] for concept in _listed(files["concept.txt"])}
    listed = folder / "relations.txt"
    relations = _listed(listed) if listed.is_file() else None
    return _tables(concepts, relations, files["conceptnet.en.csv"])


GRAPHS: Mapping[str, Callable[[Path], Tables]] = {"umls": read_umls, "conceptnet": read_conceptnet}


def read_graph(kind: str, folder: Path) -> Tables:
    """The tables of a graph. kind: umls or conceptnet."""
    if kind not in GRAPHS:
        raise ConfigError(f"graph: '{kind}' is none of {sorted(GRAPHS)}{nearest(kind, GRAPHS)}")
    return GRAPHS[kind](folder)


def _listed(path: Path) -> list[str]:
    found = [line.strip() for line in read_lines(path) if line.strip()]
    if len(set(found)) != len(found):
        raise DataError(f"{path}: a line is there twice; keep each name once, their order numbers them")
    return found


def _tables(names: Mapping[str, list[str]], relations: list[str] | None, path: Path) -> Tables:
    triples: dict[str, str] = {}
    kinds: dict[str, None] = dict.fromkeys(relations or [])
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) not in (3, 4):
            raise DataError(
                f"{path}, line {number}: has {len(cells)} columns, expected relation, subject, object, weight"
            )
        kind, head, tail = cells[:3]
        for what, name, known in (("concept", head, names), ("concept", tail, names), ("relation", kind, kinds)):
            if name not in known and not (what == "relation" and relations is None):
                raise DataError(f"{path}, line {number}: the {what} '{name}' is not in the lists beside the file")
        kinds[kind] = None
        triples[str(number)] = f"{head}\t{kind}\t{tail}"
    if not triples:
        raise DataError(f"{path}: holds no triple; expected relation<TAB>subject<TAB>object<TAB>weight")
    order = list(kinds) if relations is not None else sorted(kinds)
    return {
        "names": {concept: "\t".join(own) for concept, own in names.items()},
        "relations": {str(i): kind for i, kind in enumerate(order)},
        "triples": triples,
    }
