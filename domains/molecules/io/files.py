"""Files of molecules as (name, string): .smi lines, .sdf records, .mol files. Strings are not parsed here."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from core.errors import DataError

SMILES_FILES = (".smi", ".smiles", ".ism")
BLOCK_FILES = (".sdf", ".sd", ".mol", ".mdl")
MAX_RECORD = 4_000_000  # characters of one SDF record; more is no molecule, and a file without `$$$$`


@dataclass(frozen=True, slots=True)
class MoleculeRecord:
    """name: from the file, or its number. text: SMILES or molfile block. fields: data items of an SDF record."""

    name: str
    text: str
    fields: dict[str, str] = field(default_factory=dict)


def read_records(path: Path) -> Iterator[MoleculeRecord]:
    """The records of a file in order, also of a gzipped one; what stands in them is found when they are parsed.

    Raises DataError naming a file of another kind, one that cannot be read, or one that is not text.
    """
    path = Path(path)
    kind = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if kind not in SMILES_FILES + BLOCK_FILES:
        raise DataError(f"{path}: not a kind of molecule file; valid: {', '.join(SMILES_FILES + BLOCK_FILES)}")
    try:
        with _open(path) as file:
            yield from _smiles_lines(file) if kind in SMILES_FILES else _blocks(file, path)
    except (OSError, EOFError, UnicodeError) as err:
        raise DataError(f"{path}: cannot be read ({err}); fetch it again") from None


def _open(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="latin-1")
    return open(path, encoding="latin-1")  # old structure files hold names in it; every byte is a character


def _smiles_lines(file: IO[str]) -> Iterator[MoleculeRecord]:
    for number, line in enumerate(file):
        smiles, _, name = line.strip().partition(" ") if "\t" not in line else line.strip().partition("\t")
        if smiles and not smiles.startswith("#"):
            yield MoleculeRecord(name.strip() or str(number + 1), smiles)


def _blocks(file: IO[str], path: Path) -> Iterator[MoleculeRecord]:
    lines: list[str] = []
    size, number = 0, 0
    for line in file:
        if line.startswith("$$$$"):
            number += 1
            yield _block(lines, number)
            lines, size = [], 0
            continue
        lines.append(line.rstrip("\r\n"))
        size += len(line)
        if size > MAX_RECORD:
            raise DataError(f"{path}: record {number + 1} goes on for over {MAX_RECORD} characters without '$$$$'")
    if any(line.strip() for line in lines):  # a .mol file ends without the mark; so does a file that was cut short
        yield _block(lines, number + 1)


def _block(lines: list[str], number: int) -> MoleculeRecord:
    end = next((i for i, line in enumerate(lines) if line.startswith("M  END")), None)
    block = lines if end is None else lines[: end + 1]
    fields: dict[str, str] = {}
    key, values = "", list[str]()
    for line in [] if end is None else [*lines[end + 1 :], ">"]:
        if line.startswith(">"):
            if key:
                fields[key] = "\n".join(values).strip()
            key, values = line.partition("<")[2].rpartition(">")[0], []
        else:
            values.append(line)
    name = block[0].strip() if block and block[0].strip() else str(number)
    return MoleculeRecord(name, "\n".join(block) + "\n", fields)
