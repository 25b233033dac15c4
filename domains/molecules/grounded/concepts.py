"""A graph of named concepts as arrays, and the part of it around some of them.

Shape legend: C = concepts, R = relations, T = triples, F = features of a concept's name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import CheckpointError, DataError
from core.files import atomic_write

Ints = NDArray[np.int64]
CONCEPTS_FILE, TRIPLES_FILE = "concepts.json", "concept_triples.npy"


@dataclass(frozen=True)
class ConceptGraph:
    """ids: C names that triples use. names: C tuples of words for each, the preferred one first. relations: R names.
    triples_T3: head, relation, tail, each once."""

    ids: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    relations: tuple[str, ...]
    triples_T3: Ints  # noqa: N815
    index: dict[str, int] = field(init=False, repr=False, compare=False)
    _order: Ints = field(init=False, repr=False, compare=False)
    _start: Ints = field(init=False, repr=False, compare=False)
    _other: Ints = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends = self.triples_T3[:, [0, 2]].T.ravel()  # every triple is found from both of its ends
        order = np.argsort(ends, kind="stable")
        set_ = object.__setattr__
        set_(self, "index", {name: i for i, name in enumerate(self.ids)})
        set_(self, "_order", order % max(1, len(self.triples_T3)))
        set_(self, "_start", np.searchsorted(ends[order], np.arange(len(self.ids) + 1)))
        set_(self, "_other", self.triples_T3[:, [2, 0]].T.ravel()[order])

    @classmethod
    def of_tables(cls, tables: Mapping[str, Mapping[str, str]]) -> ConceptGraph:
        """From `Layout.tables`: names (concept -> tab-separated words), relations (number -> name), triples (number ->
        head<TAB>relation<TAB>tail). Raises DataError for a triple that names something else."""
        ids = tuple(tables.get("names", {}))
        names = tuple(tuple(words.split("\t")) for words in tables.get("names", {}).values())
        relations = tuple(tables.get("relations", {}).values())
        concept, relation = {c: i for i, c in enumerate(ids)}, {r: i for i, r in enumerate(relations)}
        rows = []
        for number, triple in tables.get("triples", {}).items():
            head, kind, tail = triple.split("\t")
            if head not in concept or tail not in concept or kind not in relation:
                raise DataError(
                    f"triple {number} ({' | '.join((head, kind, tail))}) uses an unnamed concept or relation"
                )
            rows.append((concept[head], relation[kind], concept[tail]))
        found = np.array(rows, np.int64).reshape(-1, 3)
        return cls(ids, names, relations, np.unique(found, axis=0))

    def degree(self, concepts: Ints) -> Ints:
        """Triples that each of `concepts` is an end of."""
        return self._start[concepts + 1] - self._start[concepts]

    def around(self, concepts: Ints) -> tuple[Ints, Ints, Ints]:
        """(position in `concepts`, other end, triple) of every triple of these concepts, one after the other."""
        count = self.degree(concepts)
        owner = np.repeat(np.arange(len(concepts)), count)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        place = self._start[concepts][owner] + within
        return owner, self._other[place], self._order[place]

    def save(self, folder: Path) -> None:
        facts = {"ids": self.ids, "names": self.names, "relations": self.relations}
        with atomic_write(folder / CONCEPTS_FILE, error=CheckpointError) as partial:
            partial.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        with atomic_write(folder / TRIPLES_FILE, error=CheckpointError) as partial, open(partial, "wb") as out:
            np.save(out, self.triples_T3, allow_pickle=False)

    @classmethod
    def restored(cls, folder: Path) -> ConceptGraph:
        """What `save` wrote. Raises CheckpointError naming the file that is missing or does not fit."""
        path = folder / CONCEPTS_FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            ids, relations = tuple(map(str, found["ids"])), tuple(map(str, found["relations"]))
            names = tuple(tuple(map(str, words)) for words in found["names"])
            path = folder / TRIPLES_FILE
            triples = np.load(path, allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as err:
            raise CheckpointError(f"{path}: cannot be read ({err}); copy the saved model again") from err
        limits = (len(ids), len(relations), len(ids))
        fits = triples.ndim == 2 and triples.shape[1] == 3 and triples.dtype == np.int64 and len(names) == len(ids)
        if not fits or (len(triples) and ((triples < 0).any() or (triples.max(axis=0) >= limits).any())):
            raise CheckpointError(f"{path}: does not fit {CONCEPTS_FILE}; copy the saved model again")
        return cls(ids, names, relations, triples)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a graph. concepts: (n,) ids, linked ones first. edges: (m, 3) head, relation, tail as positions."""

    concepts: Ints
    edges: Ints


def part_around(graph: ConceptGraph, linked: Sequence[int] | Ints, *, most: int, neighbours: int = 0) -> Part:
    """The linked concepts, those that bridge two of them in two steps, and small neighbourhoods; and what joins them.

    most: concepts in all; bridges that join more of the linked ones come first, then smaller ids. neighbours: linked
    concepts with at most this many triples bring all their neighbours; larger hubs bring none.
    """
    linked = np.asarray(linked, np.int64)[:most]
    owner, other, _ = graph.around(linked)
    pairs = np.unique(np.stack([other, owner], axis=1), axis=0) if len(other) else np.zeros((0, 2), np.int64)
    reached, joins = np.unique(pairs[:, 0], return_counts=True)
    small = np.unique(other[graph.degree(linked)[owner] <= neighbours]) if neighbours else np.zeros(0, np.int64)
    wanted = ((joins > 1) | np.isin(reached, small)) & ~np.isin(reached, linked)
    reached, joins = reached[wanted], joins[wanted]
    order = np.lexsort((reached, -joins))
    concepts = np.concatenate([linked, reached[order]])[:most]
    head, _, triple = graph.around(concepts)
    triples = graph.triples_T3[np.unique(triple[graph.triples_T3[triple, 0] == concepts[head]])]
    triples = triples[np.isin(triples[:, 2], concepts)]
    by_id = np.argsort(concepts)
    edges = triples.copy()
    for column in (0, 2):
        edges[:, column] = by_id[np.searchsorted(concepts, triples[:, column], sorter=by_id)]
    return Part(concepts, edges)
