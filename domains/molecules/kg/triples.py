"""Triples of text files: `head<TAB>relation<TAB>tail`, one per line, no header.

The layout of FB15k-237, WN18RR, CoDEx, Nations, Kinships and UMLS as they are distributed. Names are text; ids come
later, from the training split.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from core.errors import DataError

COLUMNS = ("head", "relation", "tail")


class Triple(NamedTuple):
    """One statement, by names."""

    head: str
    relation: str
    tail: str

    def text(self) -> str:
        """The triple as the content of a record: names joined by tabs."""
        return "\t".join(self)


def parse_triple(line: str, *, where: str, order: str = "hrt") -> Triple:
    """The triple of one line. Raises DataError naming `where`, the columns found and what was expected.

    order: the columns of the line, a permutation of "hrt" (DRAGON's files are "rht").
    """
    cells = [cell.strip() for cell in line.rstrip("\r\n").split("\t")]
    if len(cells) != 3:
        hint = " (are the columns separated by spaces?)" if len(cells) == 1 and len(line.split()) == 3 else ""
        raise DataError(f"{where}: has {len(cells)} columns, expected 3: head, relation, tail, separated by tabs{hint}")
    found = dict(zip(order, cells, strict=True))
    triple = Triple(found["h"], found["r"], found["t"])
    for name, value in zip(COLUMNS, triple, strict=True):
        if not value:
            raise DataError(f"{where}: the {name} is empty; give its name or remove the line")
    return triple


def read_triples(path: Path, *, order: str = "hrt") -> list[Triple]:
    """All triples of a UTF-8 file, blank lines left out, repeated ones kept once, in the order of the file.

    Raises DataError naming file and line for a line without three columns or with an empty name, and naming the file
    when it is missing, not UTF-8 or holds no triple.
    """
    if sorted(order) != ["h", "r", "t"]:
        raise DataError(f"{path}: order is '{order}'; give a permutation of 'hrt'")
    triples = [
        parse_triple(line, where=f"{path}, line {number}", order=order)
        for number, line in enumerate(read_lines(path), start=1)
        if line.strip()
    ]
    if not triples:
        raise DataError(f"{path}: holds no triple; expected lines head<TAB>relation<TAB>tail")
    return list(dict.fromkeys(triples))


def read_dictionary(path: Path) -> dict[str, int]:
    """`index<TAB>name` lines (entities.dict, relations.dict) as name -> index.

    Raises DataError naming file and line for a line that is not of this form, a repeated name or index, and indices
    that are not 0 .. n - 1.
    """
    found: dict[str, int] = {}
    taken: dict[int, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        index, tab, name = line.partition("\t")
        index, name = index.strip(), name.strip()
        where = f"{path}, line {number}"
        if not tab or not name or not index.isdecimal():
            raise DataError(f"{where}: is '{line[:60]}', expected index<TAB>name with a whole number first")
        if name in found:
            raise DataError(f"{where}: '{name}' was already given index {found[name]}; keep one of the lines")
        if int(index) in taken:
            raise DataError(f"{where}: index {index} was already used in line {taken[int(index)]}; number names from 0")
        found[name], taken[int(index)] = int(index), number
    if sorted(found.values()) != list(range(len(found))):
        raise DataError(f"{path}: indices are not 0 to {len(found) - 1}, each once; number the names from 0")
    return found


def read_descriptions(path: Path) -> dict[str, str]:
    """`name<TAB>text` lines (entity2text.txt, entity2textlong.txt) as name -> text; a repeated name keeps its first.

    Raises DataError naming file and line for a line without a tab.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not tab or not name.strip():
            raise DataError(f"{path}, line {number}: is '{line[:60]}', expected name<TAB>text")
        found.setdefault(name.strip(), " ".join(text.split()))
    return found


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file. Only line feeds (and a carriage return before one) end a line: names may hold others."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file; expected lines separated into columns by tabs") from err
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror}); copy it again") from err
    except UnicodeDecodeError as err:
        line = err.object[: err.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: is not UTF-8 text; save the file in that encoding") from err
    return [line.removesuffix("\r") for line in text.split("\n")]
