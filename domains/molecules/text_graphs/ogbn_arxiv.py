"""ogbn-arxiv (Hu et al. 2020) with the titles and abstracts of its papers.

root/raw/edge.csv.gz, node-label.csv.gz, node_year.csv.gz   no header; edge: citing, cited; one row per node, in order
root/mapping/nodeidx2paperid.csv.gz                         header: node idx, paper id
root/mapping/labelidx2arxivcategeory.csv.gz                 header: label idx, arxiv category (spelt so; optional)
root/titleabs.tsv                                           no header: paper id, title, abstract
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from core.data.layout import require
from core.data.tables import read_table
from core.errors import DataError
from domains.molecules.text_graphs.graph import Ints, text_graph
from domains.molecules.text_graphs.layout import NodeLayout

LAST_TRAIN, LAST_VAL = 2017, 2018  # years; later papers are the test


class OgbnArxiv(NodeLayout):
    """169,343 papers of 40 classes, split by year: to 2017, 2018, from 2019 on. Edges are distributed directed and
    made symmetric. A paper without a line in titleabs.tsv has no text: a bad record as a target, an empty text as a
    neighbour. summaries: a GraphCLIP JSON file."""

    name: ClassVar[str] = "ogbn-arxiv (edges symmetric, split by year)"
    licence: ClassVar[str] = "ODC-BY"
    source: ClassVar[str] = "https://ogb.stanford.edu/docs/nodeprop/#ogbn-arxiv, titleabs.tsv linked there"

    def __init__(self, *, root: Path, split: str, summaries: Path | None = None) -> None:
        super().__init__(root=root, split=split)
        raw, mapping = self.root / "raw", self.root / "mapping"
        files = {
            "edges": raw / "edge.csv.gz", "labels": raw / "node-label.csv.gz", "years": raw / "node_year.csv.gz",
            "paper ids": mapping / "nodeidx2paperid.csv.gz", "texts": self.root / "titleabs.tsv",
        }  # fmt: skip
        require(self.root, files, owner=self.name, source=self.source)
        label_N, year_N = (numbers(files[name], columns=1)[:, 0] for name in ("labels", "years"))
        table = read_table(files["paper ids"], ["node idx", "paper id"])
        if not len(label_N) == len(year_N) == len(table):
            raise DataError(
                f"{self.root}: {len(label_N)} labels, {len(year_N)} years and {len(table)} paper ids; all are one per "
                "node, some file is cut short"
            )
        order = np.argsort(table["node idx"].astype(int).to_numpy())
        papers = list(table["paper id"].iloc[order])
        texts_of = title_texts(files["texts"])
        texts = [texts_of.get(paper, "") for paper in papers]
        categories = self._categories(mapping, int(label_N.max()) + 1)
        graph = text_graph([str(i) for i in range(len(papers))], texts, label_N.tolist(), categories,
                           numbers(files["edges"], columns=2).T)  # fmt: skip
        parts = {
            "train": np.flatnonzero(year_N <= LAST_TRAIN),
            "val": np.flatnonzero((year_N > LAST_TRAIN) & (year_N <= LAST_VAL)),
            "test": np.flatnonzero(year_N > LAST_VAL),
        }
        self.hold(graph, parts, path=files["edges"], summaries=summaries)

    @staticmethod
    def _categories(mapping: Path, count: int) -> list[str]:
        path = mapping / "labelidx2arxivcategeory.csv.gz"
        if not path.is_file():
            return [f"class {i}" for i in range(count)]
        table = read_table(path, ["label idx", "arxiv category"])
        names = dict(zip(table["label idx"].astype(int), table["arxiv category"], strict=True))
        return [names.get(i, f"class {i}") for i in range(max(count, len(names)))]


def numbers(path: Path, *, columns: int) -> Ints:
    """(rows, columns) of a table of integers without a header. Raises DataError naming the file."""
    import pandas as pd

    try:
        found: Ints = pd.read_csv(path, header=None).to_numpy()
    except (OSError, EOFError, ValueError) as err:
        raise DataError(f"{path}: not a readable table ({err}); fetch it again") from err
    if found.ndim != 2 or found.shape[1] != columns or found.dtype.kind != "i":
        raise DataError(f"{path}: is {found.dtype} {found.shape}; expected {columns} columns of integers, no header")
    return found


def title_texts(path: Path) -> dict[str, str]:
    """Paper id -> "title. abstract". Lines that are not three columns (the distributed file has a few) are skipped."""
    found: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                cells = line.rstrip("\n").split("\t")
                if len(cells) == 3 and cells[0].strip().isdigit():
                    found[cells[0].strip()] = ". ".join(
                        part for cell in cells[1:] if (part := cell.strip().rstrip("."))
                    )
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror})") from err
    if not found:
        raise DataError(f"{path}: no line of paper id<TAB>title<TAB>abstract")
    return found
