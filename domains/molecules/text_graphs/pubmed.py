"""PubMed-Diabetes with the texts of its papers.

root/Pubmed-Diabetes.NODE.paper.tab        2 header lines; id<TAB>label=k<TAB>w-word=value ...<TAB>summary=...
root/Pubmed-Diabetes.DIRECTED.cites.tab    2 header lines; edge id<TAB>paper:a<TAB>|<TAB>paper:b
root/pubmed.json                           list of records with PMID, TI (title), AB (abstract)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np

from core.data.layout import require
from core.errors import DataError
from domains.molecules.text_graphs.cora import cells_of
from domains.molecules.text_graphs.csv_layout import MAX_UNKNOWN
from domains.molecules.text_graphs.graph import text_graph
from domains.molecules.text_graphs.layout import NodeLayout, rows_named
from domains.molecules.text_graphs.splits import Splits, node_splits

HEADER = 2
CLASSES = {"1": "experimentally induced diabetes", "2": "type 1 diabetes", "3": "type 2 diabetes"}


class PubMedTAG(NodeLayout):
    """19,717 papers of 3 classes. splits, seed: as in `CoraTAG`. A paper without a record in pubmed.json, or with one
    that has neither title nor abstract, has no text."""

    name: ClassVar[str] = "PubMed TAG"
    licence: ClassVar[str] = "none stated (Sen et al. 2008); abstracts from PubMed, not redistributable"
    source: ClassVar[str] = "https://linqs.org/datasets, pubmed.json of the TAPE repository"

    def __init__(
        self, *, root: Path, split: str, splits: Splits = "random", seed: int = 0, summaries: Path | None = None
    ) -> None:
        super().__init__(root=root, split=split)
        nodes = self.root / "Pubmed-Diabetes.NODE.paper.tab"
        cites = self.root / "Pubmed-Diabetes.DIRECTED.cites.tab"
        files = {"nodes": nodes, "citations": cites, "texts": self.root / "pubmed.json"}
        require(self.root, files, owner=self.name, source=self.source)
        ids, labels = [], []
        for cells in list(cells_of(nodes, least=1))[HEADER:]:
            label = next((cell.partition("=")[2] for cell in cells[1:] if cell.startswith("label=")), "")
            if label not in CLASSES:
                raise DataError(f"{nodes}: paper {cells[0]}: label '{label}'; valid: {', '.join(CLASSES)}")
            ids.append(cells[0])
            labels.append(list(CLASSES).index(label))
        found = texts_by_id(files["texts"])
        where = {name: row for row, name in enumerate(ids)}
        ends = [
            [cell[6:] for cell in cells if cell.startswith("paper:")]
            for cells in list(cells_of(cites, least=1))[HEADER:]
        ]
        bad = next((pair for pair in ends if len(pair) != 2), None)
        if bad is not None:
            raise DataError(f"{cites}: a citation names {len(bad)} papers; expected paper:a<TAB>|<TAB>paper:b")
        pairs_2E = np.stack([rows_named([pair[side] for pair in ends], where) for side in (0, 1)])
        known = np.logical_and(*(pairs_2E >= 0))
        if len(known) and (~known).mean() > MAX_UNKNOWN:
            raise DataError(f"{cites}: {int((~known).sum())} of {len(known)} citations name papers not in {nodes}")
        graph = text_graph(
            ids, [found.get(name, "") for name in ids], labels, list(CLASSES.values()), pairs_2E[:, known]
        )
        self.hold(
            graph, node_splits(graph.label_N, kind=splits, seed=seed), path=nodes, summaries=summaries,
            absent=int((~known).sum()), protocol=f"{splits} split, seed {seed}",
        )  # fmt: skip


def texts_by_id(path: Path) -> dict[str, str]:
    """PMID -> "title. abstract". Raises DataError for another kind of file."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        pairs = [(str(r["PMID"]), [str(r.get(key) or "").strip().rstrip(".") for key in ("TI", "AB")]) for r in records]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise DataError(f"{path}: no list of records with PMID, TI and AB ({type(err).__name__}: {err})") from err
    return {name: ". ".join(part for part in parts if part) for name, parts in pairs}
