"""A text graph as records: one per labelled node, its surroundings are found when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from core.data.layout import Layout, Record, Source, refuse_empty
from domains.molecules.text_graphs.graph import UNLABELLED, GraphNode, Ints, TextGraph
from domains.molecules.text_graphs.summaries import read_summaries, summary


class NodeLayout(Layout):
    """Modalities "graph" (a `GraphNode`) and "text" (a summary of the node and its neighbours).

    label_names: the classes, one of them 1. table `classes`: class -> what it is called in a sentence.
    All texts and edges are known at any time, also those of held-out nodes (transductive); held-out labels are not.
    absent: edges of the files that were left out because they name nodes that are not there.
    """

    graph: TextGraph

    def hold(
        self,
        graph: TextGraph,
        parts: Mapping[str, Ints],
        *,
        path: Path,
        class_texts: Mapping[str, str] | None = None,
        summaries: Path | None = None,
        absent: int = 0,
        protocol: str = "",
    ) -> None:
        """To be called at the end of `__init__`. parts: split -> rows. path: the file that stands for the graph.
        summaries: a file of written ones; nodes it lacks get rule-made ones. protocol: how the split was made."""
        self.graph, self.path, self.absent = graph, path, absent
        self.rows = [int(row) for row in parts[self.split]]
        refuse_empty(len(self.rows), owner=f"'{self.split}' split", where=path, expected="labelled nodes in it")
        self.label_names = graph.classes
        given = class_texts or {}
        self.tables = {"classes": {name: given.get(name) or name for name in graph.classes}}
        self._written = read_summaries(summaries) if summaries is not None else {}
        self._made: dict[int, str] = {}
        if protocol:
            self.name = f"{type(self).name}, {protocol}"  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self.rows)

    def record(self, index: int) -> Record:
        row = self.rows[index]
        name, label = self.graph.ids[row], int(self.graph.label_N[row])
        sources: dict[str, Source] = {"graph": GraphNode(self.path, row, self.graph)}
        text = self._summary(row, name)
        if text:
            sources["text"] = text
        known = label != UNLABELLED
        labels = {c: float(i == label) if known else math.nan for i, c in enumerate(self.graph.classes)}
        return Record(id=name, group=name, sources=sources, labels=labels)

    def _summary(self, row: int, name: str) -> str:
        if name in self._written:
            return self._written[name]
        if row not in self._made:
            self._made[row] = summary(self.graph, row)
        return self._made[row]


def rows_named(names: list[str], where: Mapping[str, int]) -> Ints:
    """Rows of names, -1 for one that is no node."""
    return np.array([where.get(name, -1) for name in names], np.int64)
