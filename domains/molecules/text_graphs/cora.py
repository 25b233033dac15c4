"""Cora with the texts of its papers.

root/cora.content                          id, 1,433 words as 0 and 1, class; tabs; order of the nodes
root/cora.cites                            cited, citing
root/mccallum/cora/papers                  id<TAB>file name<TAB>...
root/mccallum/cora/extractions/<file>      lines such as `Title: ...` and `Abstract: ...`; either may be absent
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from core.data.layout import require
from core.errors import DataError
from domains.molecules.text_graphs.csv_layout import MAX_UNKNOWN
from domains.molecules.text_graphs.graph import Ints, text_graph
from domains.molecules.text_graphs.layout import NodeLayout, rows_named
from domains.molecules.text_graphs.splits import Splits, node_splits

CLASS_TEXTS = {name: name.replace("_", " ").lower() for name in (
    "Case_Based", "Genetic_Algorithms", "Neural_Networks", "Probabilistic_Methods", "Reinforcement_Learning",
    "Rule_Learning", "Theory",
)}  # fmt: skip


class CoraTAG(NodeLayout):
    """2,708 papers of 7 classes. splits: "random" (60 / 20 / 20) or "planetoid" (20 of each class / 500 / 1,000), never
    to be compared with one another; seed: of the draw. A paper whose file is missing or has neither title nor abstract
    has no text; it never gets that of the paper before it, as in the usual loader."""

    name: ClassVar[str] = "Cora TAG"
    licence: ClassVar[str] = "none stated (McCallum et al. 2000); for research"
    source: ClassVar[str] = "https://linqs.org/datasets and people.cs.umass.edu/~mccallum/data.html"

    def __init__(
        self, *, root: Path, split: str, splits: Splits = "random", seed: int = 0, summaries: Path | None = None
    ) -> None:
        super().__init__(root=root, split=split)
        content, cites = self.root / "cora.content", self.root / "cora.cites"
        folder = self.root / "mccallum" / "cora"
        files = {"nodes": content, "citations": cites, "table of papers": folder / "papers",
                 "extracted papers": folder / "extractions"}  # fmt: skip
        require(self.root, files, owner=self.name, source=self.source)
        rows = list(cells_of(content, least=3))
        ids, names = [cells[0] for cells in rows], [cells[-1] for cells in rows]
        file_of = dict(cells[:2] for cells in cells_of(folder / "papers", least=2))
        texts = [paper_text(folder / "extractions", file_of.get(name, "")) for name in ids]
        where = {name: row for row, name in enumerate(ids)}
        ends = [cells[:2] for cells in cells_of(cites, least=2)]
        pairs_2E = np.stack([rows_named([pair[side] for pair in ends], where) for side in (0, 1)])
        known = np.logical_and(*(pairs_2E >= 0))
        if len(known) and (~known).mean() > MAX_UNKNOWN:
            raise DataError(f"{cites}: {int((~known).sum())} of {len(known)} citations name papers not in {content}")
        classes = sorted(set(names))
        labels = [classes.index(name) for name in names]
        graph = text_graph(ids, texts, labels, classes, pairs_2E[:, known])
        parts: dict[str, Ints] = node_splits(graph.label_N, kind=splits, seed=seed)
        self.hold(
            graph, parts, path=content, class_texts=CLASS_TEXTS, summaries=summaries, absent=int((~known).sum()),
            protocol=f"{splits} split, seed {seed}",
        )  # fmt: skip


def cells_of(path: Path, *, least: int) -> Iterator[list[str]]:
    """The cells of each line that is not blank. Raises DataError naming the line with fewer than `least`."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                cells = [cell.strip() for cell in line.rstrip("\n").split("\t")]
                if not any(cells):
                    continue
                if len(cells) < least:
                    raise DataError(f"{path}: line {number} has {len(cells)} cells; expected {least}, tabs between")
                yield cells
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror})") from err


def paper_text(folder: Path, file: str) -> str:
    """Title and abstract of one extracted paper, "" when there is neither: each call starts from nothing."""
    found = {"Title": "", "Abstract": ""}
    path = folder / file
    if not file or Path(file).name != file or not path.is_file():
        return ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        field, colon, rest = line.partition(":")
        if colon and field in found and not found[field]:
            found[field] = rest.strip().rstrip(".")
    return ". ".join(part for part in found.values() if part)
