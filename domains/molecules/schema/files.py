"""Documents of the MatSci-NLP files: which of their JSON forms a file has, and its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.data.text import read_text
from core.errors import DataError
from domains.molecules.schema.annotated import COLUMNS

LINES = ("structured_re",)  # JSON lines
LISTS = ("synthesis_actions",)  # one list


def documents(path: Path, collection: str) -> list[Any]:
    """Rows of a file; for tables, columns in the order of `COLUMNS`.

    A line that is not JSON is returned as text, so that its document is a bad record and not the whole file. Raises
    DataError naming the file when it is not of the form that the collection has.
    """
    content = read_text(path)
    if collection in LINES:
        return [_line(line) for line in content.split("\n") if line.strip()]
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as err:
        raise DataError(f"{path}: not JSON ({err}); copy the file again") from err
    if collection in LISTS:
        if not isinstance(found, list):
            raise DataError(f"{path}: holds a {type(found).__name__}; expected a list of sentences")
        return found
    rows = found.get("data") if isinstance(found, dict) else None
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected an object with a list 'data'; copy the file again")
    if collection not in COLUMNS:
        return rows
    order = found.get("columns")
    if not isinstance(order, list) or set(order) != set(COLUMNS[collection]):
        raise DataError(
            f"{path}: columns are {order}; expected {', '.join(COLUMNS[collection])} (pandas, orient split)"
        )
    places = [order.index(name) for name in COLUMNS[collection]]
    return [_reordered(row, places) for row in rows]


def _reordered(row: Any, places: list[int]) -> Any:
    return [row[i] for i in places] if isinstance(row, list) and len(row) == len(places) else row


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line
