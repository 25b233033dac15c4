"""Any table with a column of SMILES: the layout for data of one's own.

root/data.csv    (or the only .csv or .tsv in the root), columns by name, compared without case:
  smiles | mol | canonical_smiles | isomeric_smiles | structure
  description | text | caption                  optional text; paragraphs may be separated by line breaks
  id | name | cid | molecule_id | mol_id        optional. Default: the row
  scaffold | group                              optional; what a split keeps together. Default: Murcko scaffold
  split                                         optional: train, val (valid, validation), test
  columns named in `labels`                     0 or 1; blank = unknown
  columns named in `values`                     values on a scale; blank = unknown
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, Source, refuse_empty
from core.data.tables import first_column, label_matrix, optional_column, read_table, require_columns
from core.errors import ConfigError, DataError
from domains.molecules.data.split import group_of, salt_of, split_name, split_of
from domains.molecules.data.split import split_file as splits_of_file

SMILES = ("smiles", "mol", "canonical_smiles", "isomeric_smiles", "structure")
TEXT = ("description", "text", "caption")
NAME = ("id", "name", "cid", "molecule_id", "mol_id")
GROUP = ("scaffold", "group")


class SmilesCSV(Layout):
    """Modalities "graph" (SMILES) and "text". labels, values: columns, see above. table: name of the file in the root.

    Splits: `split_file` (a table with columns id and split), or else the split column, or else scaffolds by their hash
    with `split_seed`, 80 / 10 / 10. A seed ignores the split column. Raises ConfigError for a seed and a file at once.
    """

    name: ClassVar[str] = "table with SMILES"
    licence: ClassVar[str] = "the data's own"
    source: ClassVar[str] = "a CSV with a column of SMILES"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        table: str | None = None,
        labels: Sequence[str] = (),
        values: Sequence[str] = (),
        split_seed: int | None = None,
        split_file: Path | None = None,
    ) -> None:
        super().__init__(root=root, split=split)
        if split_seed is not None and split_file is not None:
            raise ConfigError("split_seed and split_file: give one of them")
        self.path = self._find(table)
        rows = read_table(self.path, delimiter="\t" if self.path.suffix == ".tsv" else ",")
        require_columns(rows, [*labels, *values], self.path)
        smiles = rows[first_column(rows, SMILES, self.path, what="SMILES")].str.strip()
        named, text, group, part = (optional_column(rows, names) for names in (NAME, TEXT, GROUP, ["split"]))
        groups = [group_of(s) for s in smiles] if group is None else list(rows[group])
        self._names = list(rows[named]) if named is not None else [str(i + 2) for i in range(len(rows))]
        if split_file is not None:
            asked = splits_of_file(split_file, self._names)
            parts = [asked.get(name, "") for name in self._names]
        elif part is None or split_seed is not None:
            parts = [split_of(g, salt=salt_of(split_seed)) for g in groups]
        else:
            parts = [split_name(p, self.path, row) for row, p in enumerate(rows[part])]
        self._rows = [i for i, p in enumerate(parts) if p == split]
        refuse_empty(len(self._rows), owner=f"'{split}' split", where=self.path, expected="rows of that split")
        self._smiles, self._groups = list(smiles), groups
        self._texts = list(rows[text]) if text is not None else [""] * len(rows)
        self.label_names, self.quantity_names = tuple(labels), tuple(values)
        self._labels_RL = label_matrix(rows, (*labels, *values), self.path)

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, index: int) -> Record:
        row = self._rows[index]
        sources: dict[str, Source] = {"graph": self._smiles[row]} if self._smiles[row] else {}
        if self._texts[row].strip():
            sources["text"] = self._texts[row]
        labels = dict(zip((*self.label_names, *self.quantity_names), map(float, self._labels_RL[row]), strict=True))
        return Record(id=self._names[row], group=self._groups[row], sources=sources, labels=labels)

    def _find(self, table: str | None) -> Path:
        if table is not None:
            return self.root / table
        found = sorted(p for p in self.root.iterdir() if p.suffix in (".csv", ".tsv"))
        if (self.root / "data.csv") in found or not found:
            return self.root / "data.csv"
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(f"{self.root}: several tables ({names}); name one as data.csv, or give its name as `table`")
        return found[0]
