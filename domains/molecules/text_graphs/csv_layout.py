"""A text graph of one's own: nodes.csv and edges.csv.

root/nodes.csv          id, text, label; optional split (train, val, test). Blank label = unknown.
root/edges.csv          source, target: ids of nodes; taken both ways.
root/classes.csv        optional: label, text (what a class is called in a sentence, for zero-shot).
root/features_NAME.npy  optional: (nodes, F) floats in the order of nodes.csv, rows of nan where a node lacks them.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from core.data.layout import SPLITS, require
from core.data.tables import read_table
from core.errors import DataError
from domains.molecules.text_graphs.feature_files import read_array
from domains.molecules.text_graphs.graph import UNLABELLED, text_graph
from domains.molecules.text_graphs.layout import NodeLayout, rows_named
from domains.molecules.text_graphs.splits import Splits, node_splits

MAX_UNKNOWN = 0.05  # share of edges that may name unknown nodes before the files are taken to be mixed up


class TextGraphCSV(NodeLayout):
    """splits, seed: how nodes are dealt without a split column (`node_splits`). summaries: a GraphCLIP JSON file."""

    name: ClassVar[str] = "text graph of CSV files"
    licence: ClassVar[str] = "the data's own"
    source: ClassVar[str] = "nodes.csv and edges.csv of your own"

    def __init__(
        self, *, root: Path, split: str, splits: Splits = "random", seed: int = 0, summaries: Path | None = None
    ) -> None:
        super().__init__(root=root, split=split)
        nodes_csv, edges_csv = self.root / "nodes.csv", self.root / "edges.csv"
        require(self.root, {"nodes": nodes_csv, "edges": edges_csv}, owner=self.name, source=self.source)
        nodes = read_table(nodes_csv, ["id", "text", "label"])
        names = [name.strip() for name in nodes["label"]]
        classes = sorted({name for name in names if name})
        code = {name: i for i, name in enumerate(classes)}
        ids = list(nodes["id"])
        where = {name: row for row, name in enumerate(ids)}
        pairs_2E, unknown = known_pairs(edges_csv, where)
        labels = [code.get(name, UNLABELLED) for name in names]
        features = {
            path.stem.removeprefix("features_"): read_array(path) for path in sorted(self.root.glob("features_*.npy"))
        }
        try:
            graph = text_graph(ids, list(nodes["text"]), labels, classes, pairs_2E, features)
        except DataError as err:
            raise DataError(f"{nodes_csv}: {err}") from err
        if "split" in nodes.columns:
            parts, protocol = given_splits([s.strip().lower() for s in nodes["split"]], nodes_csv), "splits as given"
        else:
            parts, protocol = node_splits(graph.label_N, kind=splits, seed=seed), f"{splits} split, seed {seed}"
        texts: dict[str, str] = {}
        if (self.root / "classes.csv").is_file():
            table = read_table(self.root / "classes.csv", ["label", "text"])
            texts = dict(zip(table["label"], table["text"], strict=True))
        self.hold(
            graph, parts, path=nodes_csv, class_texts=texts, summaries=summaries, absent=unknown, protocol=protocol
        )


def given_splits(names: list[str], path: Path) -> dict[str, np.ndarray]:
    """Split -> rows; a blank is in none. Raises DataError naming the row of any other word."""
    array = np.array(names, dtype=object)
    bad = np.flatnonzero(~np.isin(array, [*SPLITS, ""]))
    if len(bad):
        raise DataError(f"{path}: row {bad[0] + 2}: split '{array[bad[0]]}'; valid: {', '.join(SPLITS)}, or blank")
    return {part: np.flatnonzero(array == part) for part in SPLITS}


def known_pairs(path: Path, where: dict[str, int], columns: tuple[str, str] = ("source", "target")) -> tuple:
    """((2, E) rows, edges left out) of a table of ids. Raises DataError when more than 5% name unknown nodes."""
    table = read_table(path, list(columns))
    ends_2E = np.stack([rows_named(list(table[column]), where) for column in columns])
    known = (ends_2E >= 0).all(axis=0)
    if (~known).mean() > MAX_UNKNOWN:
        row = int(np.flatnonzero(~known)[0])
        name = next(table[c].iloc[row] for c, end in zip(columns, ends_2E[:, row], strict=True) if end < 0)
        raise DataError(
            f"{path}: {int((~known).sum())} of {len(table)} edges name nodes that are not there, row {row + 2} "
            f"'{name}'; the tables do not belong together"
        )
    return ends_2E[:, known], int((~known).sum())
