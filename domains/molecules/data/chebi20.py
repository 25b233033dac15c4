"""ChEBI-20 (Edwards et al. 2021), in the files that MolT5 distributes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, refuse_empty, require
from core.errors import DataError
from domains.molecules.data.split import group_of

FILES = {"train": "train.txt", "val": "validation.txt", "test": "test.txt"}
COLUMNS = ["CID", "SMILES", "description"]


class ChEBI20(Layout):
    """Modalities "graph" and "text". Tab-separated, one header, quotes mean nothing.

    Backslashes are doubled in the files and single here. Rows whose SMILES has wildcards or is refused by RDKit stay
    records; reading their graph is what fails.
    """

    name: ClassVar[str] = "ChEBI-20"
    licence: ClassVar[str] = "CC BY 4.0 (ChEBI); files BSD-3-Clause"
    source: ClassVar[str] = "github.com/blender-nlp/MolT5, folder ChEBI-20_data"

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        path = self.root / FILES[split]
        require(self.root, {f"{split} split": path}, owner=self.name, source=self.source)
        self._records: list[Record] = []
        try:
            with open(path, encoding="utf-8", newline="") as file:
                rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                header = next(rows, [])
                if header != COLUMNS:
                    raise DataError(f"{path}: the header is {header}; expected {COLUMNS}, separated by tabs")
                for number, row in enumerate(rows, start=2):
                    if len(row) != len(COLUMNS):
                        raise DataError(f"{path}: row {number} has {len(row)} cells; expected {len(COLUMNS)}")
                    cid, smiles, text = row
                    smiles = smiles.replace("\\\\", "\\")
                    self._records.append(Record(cid, smiles, {"graph": smiles, "text": text.strip()}))
        except (UnicodeDecodeError, csv.Error) as err:
            raise DataError(f"{path}: not a readable table ({err}); fetch it again") from None
        refuse_empty(len(self._records), owner=self.name, where=path, expected="a row per molecule")

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        found = self._records[index]
        return Record(found.id, group_of(found.group), found.sources)
