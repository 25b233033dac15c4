"""A graph with node features of several modalities: what UniGraph2 distributes, in files that are safe to read.

root/features_NAME      .npy, .safetensors (one array) or .pt (torch.save of a tensor), (nodes, F); rows of nan: absent
root/labels             the same suffixes, (nodes,) integers; -1 = unknown
root/{train,val,test}_mask   the same suffixes, (nodes,) bool
root/edges.csv          source, target: numbers of nodes, counted from 0
root/texts.csv          optional: text, one row per node

The published `graph.bin` is DGL's own format: write its edges once with
`u, v = dgl.load_graphs("graph.bin")[0][0].edges()` into edges.csv. `features_t5vit.pt` and `features_clip.pt` are read
as they are, as modalities t5vit and clip.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from core.data.layout import SPLITS
from core.data.tables import read_table
from core.errors import DataError
from domains.molecules.text_graphs.feature_files import SUFFIXES, find_array, read_array
from domains.molecules.text_graphs.graph import UNLABELLED, Ints, text_graph
from domains.molecules.text_graphs.layout import NodeLayout


class MultimodalGraph(NodeLayout):
    """Classes are named by their number. Every node is a target of its split, whatever it lacks."""

    name: ClassVar[str] = "multimodal graph"
    licence: ClassVar[str] = "that of the graph"
    source: ClassVar[str] = "https://github.com/yf-he/UniGraph2, converted as its docstring says"

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        edges = self.root / "edges.csv"
        if not edges.is_file():
            hint = (
                "graph.bin is DGL's own format; write its edges" if (self.root / "graph.bin").exists() else "write one"
            )
            raise DataError(f"{edges}: no such file; {hint} as a table with columns source, target")
        found = {
            p.stem.removeprefix("features_"): p for p in sorted(self.root.glob("features_*")) if p.suffix in SUFFIXES
        }
        if not found:
            raise DataError(f"{self.root}: no features_NAME with one of {', '.join(SUFFIXES)}")
        features = {name: read_array(path) for name, path in found.items()}
        nodes = len(next(iter(features.values())))
        label_N = self._array("labels", nodes, "iu").astype(np.int64)
        parts = {part: np.flatnonzero(self._array(f"{part}_mask", nodes, "b")) for part in SPLITS}
        texts = self._texts(nodes)
        known = label_N[label_N != UNLABELLED]
        classes = [f"class {i}" for i in range(int(known.max()) + 1 if len(known) else 0)]
        try:
            ids = [str(i) for i in range(nodes)]
            graph = text_graph(ids, texts, label_N.tolist(), classes, self._edges(edges), features)
        except DataError as err:
            raise DataError(f"{self.root}: {err}") from err
        self.hold(graph, parts, path=edges)

    def _array(self, stem: str, nodes: int, kinds: str) -> NDArray[np.generic]:
        path = find_array(self.root, stem)
        if path is None:
            raise DataError(f"{self.root / stem}: not there with any of {', '.join(SUFFIXES)}")
        array = read_array(path)
        if array.shape != (nodes,) or array.dtype.kind not in kinds:
            raise DataError(
                f"{path}: is {array.dtype} {array.shape}; expected ({nodes},), as many as features have rows"
            )
        return array

    def _edges(self, path: Path) -> Ints:
        table = read_table(path, ["source", "target"])
        try:
            return np.stack([table[column].astype(int).to_numpy() for column in ("source", "target")])
        except ValueError as err:
            raise DataError(f"{path}: {err}; ends of edges are numbers of nodes, counted from 0") from err

    def _texts(self, nodes: int) -> list[str]:
        path = self.root / "texts.csv"
        if not path.is_file():
            return [""] * nodes
        texts = list(read_table(path, ["text"])["text"])
        if len(texts) != nodes:
            raise DataError(f"{path}: {len(texts)} texts for {nodes} nodes; one row per node, blank for none")
        return texts
