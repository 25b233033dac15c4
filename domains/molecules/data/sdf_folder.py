"""A folder of SDF, MOL or SMILES files: structures of one's own, each record of each file one molecule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, refuse_empty
from domains.molecules.data.split import group_of, split_of
from domains.molecules.io.files import BLOCK_FILES, SMILES_FILES, read_records


class SDFFolder(Layout):
    """Modality "graph" (molfile block or SMILES), and "text" from the SDF data item `text`, where there is one.

    labels: SDF data items that are values; absent, blank or no number = unknown. Scaffolds are dealt to the splits by
    hash, 80 / 10 / 10. Files are read whole: about 3 KB per molecule stay in memory.
    """

    name: ClassVar[str] = "folder of structures"
    licence: ClassVar[str] = "the data's own"
    source: ClassVar[str] = "a folder of .sdf, .mol or .smi files, gzipped or not"

    def __init__(self, *, root: Path, split: str, text: str = "description", labels: Sequence[str] = ()) -> None:
        super().__init__(root=root, split=split)
        kinds = (*SMILES_FILES, *BLOCK_FILES)
        files = sorted(p for p in self.root.rglob("*") if p.name.lower().removesuffix(".gz").endswith(kinds))
        refuse_empty(len(files), owner=self.name, where=self.root, expected=f"files ending in {', '.join(kinds)}")
        self.label_names = tuple(labels)
        self._records: list[Record] = []
        for path in files:
            for number, found in enumerate(read_records(path), start=1):
                group = group_of(found.text)
                if split_of(group) != split:
                    continue
                sources = {"graph": found.text}
                if found.fields.get(text, "").strip():
                    sources["text"] = found.fields[text]
                values = {name: _value(found.fields.get(name, "")) for name in self.label_names}
                name = f"{path.relative_to(self.root).as_posix()}:{number}"
                self._records.append(Record(id=name, group=group, sources=sources, labels=values))
        refuse_empty(len(self._records), owner=f"'{split}' split", where=self.root, expected="molecules of that split")

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        return self._records[index]


def _value(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
