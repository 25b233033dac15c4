"""Small things that several layouts share: one-hot labels, lists of names, Parquet tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.tables import require_columns
from core.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd


def present(names: Sequence[str], there: Iterable[str], *, where: str) -> dict[str, float]:
    """1 for each of `there`, 0 for the other names. Raises DataError for one that is no name, with the nearest."""
    labels = dict.fromkeys(names, 0.0)
    for name in there:
        if name not in labels:
            raise DataError(f"{where}: label '{name}' is not known{nearest(name, names)}")
        labels[name] = 1.0
    return labels


def read_lines(path: Path, *, what: str) -> list[str]:
    """The lines of a list of names, blank ones dropped. Raises DataError for a missing or empty file."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file; expected {what}, one per line") from err
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{path}: not a readable text file ({err}); copy it again") from err
    lines = [line for line in lines if line]
    if not lines:
        raise DataError(f"{path}: is empty; expected {what}, one per line")
    return lines


def read_parquet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A Parquet table with at least these columns. Raises DataError as `core.data.tables.read_table` does."""
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file; expected a Parquet table with columns {', '.join(columns)}") from err
    except Exception as err:  # pyarrow raises its own types
        raise DataError(f"{path}: not a readable Parquet table ({type(err).__name__}); copy it again") from err
    require_columns(table, columns, path)
    if len(table) == 0:
        raise DataError(f"{path}: the table has no rows; expected one per record")
    return table
