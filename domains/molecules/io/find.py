"""Finds the molecules that can be embedded: those of .smi, .sdf, .mol and .csv files, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.tables import first_column, read_table
from domains.molecules.io.files import BLOCK_FILES, SMILES_FILES, read_records

MODALITY = "graph"
SMILES_COLUMNS = ("smiles", "mol", "canonical_smiles", "isomeric_smiles", "structure")
KINDS = (*SMILES_FILES, *BLOCK_FILES, ".csv")


@dataclass(frozen=True, slots=True)
class MoleculeInFile:
    """A molecule of a file. name: its own, or its row from 1. text: SMILES or molfile block."""

    path: Path
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"


def find_inputs(paths: Sequence[Path]) -> Iterator[tuple[MoleculeInFile, str]]:
    """(molecule, "graph") of every molecule file below `paths`, files in the order of names; hidden ones are passed
    over. A table (.csv) needs a column of SMILES. Raises DataError naming a file that cannot be read."""
    for path in paths:
        files = sorted(f for f in path.rglob("*") if f.suffix.lower() in KINDS) if path.is_dir() else [path]
        for file in files:
            if not file.name.startswith("."):
                yield from ((molecule, MODALITY) for molecule in molecules_of(file))


def molecules_of(file: Path) -> Iterator[MoleculeInFile]:
    """Every molecule of a file, as its string."""
    if file.suffix.lower() == ".csv":
        table = read_table(file)
        column = first_column(table, SMILES_COLUMNS, file, what="SMILES")
        yield from (MoleculeInFile(file, str(row + 2), text) for row, text in enumerate(table[column]))
    else:
        yield from (MoleculeInFile(file, record.name, record.text) for record in read_records(file))
