"""A graph whose nodes are texts, as arrays, and a node of it as the source of a sample.

Shape legend: N = nodes, E = directed edges, S = chosen nodes, F = features of a node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

Ints = NDArray[np.int64]
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class TextGraph:
    """ids, texts: one per node; empty: a node without one. label_N: class, -1 = unknown. classes: their names.
    edges_2E: source and target, each edge both ways, no loop and no repetition, sorted. features: modality -> (N, F)
    float32, a row of nan where a node lacks it. Made by `text_graph`."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    label_N: Ints  # noqa: N815
    classes: tuple[str, ...]
    edges_2E: Ints  # noqa: N815
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"TextGraph({self.digest})"  # stands for the content in the keys of stored samples

    @cached_property
    def digest(self) -> str:
        """Changes with ids, texts, edges and features; not with labels, which no sample of a graph holds."""
        found = hashlib.sha256("\0".join((*self.ids, *self.texts)).encode())
        found.update(self.edges_2E.tobytes())
        for name, array_NF in sorted(self.features.items()):
            found.update(name.encode() + array_NF.tobytes())
        return found.hexdigest()[:16]

    @cached_property
    def start_N1(self) -> Ints:  # noqa: N802
        """(N + 1,): where the edges of a node begin."""
        return np.searchsorted(self.edges_2E[0], np.arange(len(self) + 1)).astype(np.int64)

    @cached_property
    def degree_N(self) -> Ints:  # noqa: N802
        return np.diff(self.start_N1)

    def edges_of(self, rows_S: Ints) -> tuple[Ints, Ints]:
        """(position in `rows_S`, neighbour) of every edge that leaves one of the nodes."""
        count_S = self.degree_N[rows_S]
        owner = np.repeat(np.arange(len(rows_S)), count_S)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(count_S) - count_S, count_S)
        return owner, self.edges_2E[1][self.start_N1[rows_S][owner] + within]

    def induced(self, rows_S: Ints) -> Ints:
        """(2, e) edges among distinct nodes, as positions in `rows_S`. A node without any gets a loop."""
        owner, neighbour = self.edges_of(rows_S)
        order = np.argsort(rows_S)
        place = np.searchsorted(rows_S, neighbour, sorter=order).clip(max=len(rows_S) - 1)
        target = order[place]
        inside = rows_S[target] == neighbour
        edges_2e = np.stack([owner[inside], target[inside]])
        alone = np.setdiff1d(np.arange(len(rows_S)), edges_2e[0])
        return np.concatenate([edges_2e, np.stack([alone, alone])], axis=1)


def text_graph(
    ids: Sequence[str],
    texts: Sequence[str],
    labels: Sequence[int],
    classes: Sequence[str],
    pairs_2E: Ints,
    features: Mapping[str, NDArray[np.float32]] | None = None,
) -> TextGraph:
    """The graph of `pairs_2E` (rows of nodes) made symmetric, without loops and repetitions. Raises DataError for an id
    that two nodes share, rows that are no node, and features of another number of rows."""
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"node '{twice}' is there twice; ids of nodes are unique")
    for name, array_NF in (features or {}).items():
        if array_NF.ndim != 2 or len(array_NF) != len(ids):
            raise DataError(f"features '{name}' are {array_NF.shape}; expected ({len(ids)}, F), a row per node")
    pairs_2E = np.asarray(pairs_2E, np.int64).reshape(2, -1)
    if pairs_2E.size and (pairs_2E.min() < 0 or pairs_2E.max() >= len(ids)):
        raise DataError(f"an edge names node {int(pairs_2E.max())} or a negative one; nodes are 0 to {len(ids) - 1}")
    both_2E = np.concatenate([pairs_2E, pairs_2E[::-1]], axis=1)
    keys = np.unique(both_2E[0] * len(ids) + both_2E[1])
    edges_2E = np.stack([keys // max(len(ids), 1), keys % max(len(ids), 1)])
    edges_2E = np.ascontiguousarray(edges_2E[:, edges_2E[0] != edges_2E[1]])
    return TextGraph(tuple(ids), tuple(texts), np.asarray(labels, np.int64), tuple(classes), edges_2E, features or {})


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node as the source of a sample: which row of which graph, and the file that the graph comes from."""

    path: Path
    row: int
    graph: TextGraph
