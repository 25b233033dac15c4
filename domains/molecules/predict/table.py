"""The rows of a file of molecules as they stand there, and the same rows with columns added."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from core.errors import DataError, nearest
from core.files import write_atomic
from domains.molecules.io.files import read_records
from domains.molecules.io.find import SMILES_COLUMNS

TABLES = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class MoleculeTable:
    """columns, rows: cells as text, in the order of the file. molecules: the string of each row."""

    columns: list[str]
    rows: list[list[str]]
    molecules: list[str]


def read(path: Path, column: str | None = None) -> MoleculeTable:
    """A table with a column of SMILES, or a file of molecules as a table of names (and SMILES, where it has them).

    Raises DataError naming the file and what it lacks.
    """
    name = path.name.lower().removesuffix(".gz")
    delimiter = TABLES.get(Path(name).suffix)
    if delimiter is None:
        if column is not None:
            raise DataError(f"{path}: --column is for tables ({', '.join(TABLES)})")
        records = list(read_records(path))
        if not records:
            raise DataError(f"{path}: holds no molecule")
        rows = [[record.name, "" if "\n" in record.text else record.text] for record in records]
        return MoleculeTable(["name", "smiles"], rows, [record.text for record in records])
    columns, rows = _cells(path, delimiter)
    by_lower = {name.lower(): i for i, name in reversed(list(enumerate(columns)))}
    wanted = [name for name in ((column,) if column else SMILES_COLUMNS) if name.lower() in by_lower]
    if not wanted:
        asked = f"'{column}'{nearest(column, columns)}" if column else f"of SMILES ({', '.join(SMILES_COLUMNS)})"
        raise DataError(f"{path}: no column {asked}; columns found: {', '.join(columns)}")
    at = by_lower[wanted[0].lower()]
    return MoleculeTable(columns, rows, [row[at].strip() for row in rows])


def _cells(path: Path, delimiter: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows; a blank line between rows is a row, so that nothing moves."""
    try:
        with _open(path) as file:
            header, *rows = csv.reader(file, delimiter=delimiter)
    except ValueError as err:
        raise DataError(f"{path}: not a table with a header ({err}); export it again as UTF-8") from None
    except (OSError, EOFError, csv.Error) as err:
        raise DataError(f"{path}: cannot be read ({err}); fetch or export it again") from None
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise DataError(f"{path}: the table has a header and no rows; expected one row per molecule")
    for number, row in enumerate(rows, start=2):
        if len(row) > len(header):
            raise DataError(f"{path}: line {number} has {len(row)} cells, the header {len(header)}; quote its commas")
        row += [""] * (len(header) - len(row))
    return [name.strip() for name in header], rows


def _open(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def write(path: Path, table: MoleculeTable, added: Mapping[str, Sequence[str]]) -> None:
    """The table with columns added, whole or not at all. Raises DataError for a column that it already has."""
    taken = [name for name in added if name in table.columns]
    if taken:
        raise DataError(f"{path}: the input already has a column '{taken[0]}'; rename it there")
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*table.columns, *added])
    writer.writerows([*row, *more] for row, more in zip(table.rows, zip(*added.values(), strict=True), strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, out.getvalue(), error=DataError)
