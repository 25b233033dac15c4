"""Reading the CSV tables of a dataset, with errors that name the file, the column and the remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path, columns: Sequence[str] = (), *, delimiter: str = ",") -> pd.DataFrame:
    """All cells as text, blank = "". Compression by suffix (.gz), a UTF-8 byte-order mark is dropped.

    columns: those that must be there. Raises DataError for a missing file, a missing column (with the columns found
    and the nearest name), an unreadable table, and a table without rows.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, sep=delimiter, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as fault:
        raise DataError(f"{path}: no such file; expected a table with columns {_listed(columns)}") from fault
    except pd.errors.EmptyDataError as fault:
        raise DataError(f"{path}: the file is empty; expected a table with columns {_listed(columns)}") from fault
    except (OSError, EOFError, UnicodeError, pd.errors.ParserError, ValueError) as fault:
        raise DataError(f"{path}: not a readable CSV table ({fault}); fetch or export it again") from fault
    table.columns = table.columns.str.strip()
    require_columns(table, columns, path)
    if len(table) == 0:
        raise DataError(f"{path}: the table has a header and no rows; expected one row per record")
    return table


def require_columns(table: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Raises one DataError naming every absent column, the nearest name to each, and the columns found."""
    found = list(table.columns)
    missing = [f"'{name}'{nearest(name, found)}" for name in columns if name not in found]
    if missing:
        raise DataError(f"{path}: missing column {', '.join(missing)} (columns found: {_listed(found)})")


def first_column(table: pd.DataFrame, names: Sequence[str], path: Path, *, what: str) -> str:
    """The first of `names` that is a column, compared without case. Raises DataError naming what was looked for."""
    found = optional_column(table, names)
    if found is None:
        hint = nearest(names[0], list(table.columns))
        raise DataError(
            f"{path}: no column for the {what}: one of {_listed(names)} is needed{hint} "
            f"(columns found: {_listed(list(table.columns))})"
        )
    return found


def optional_column(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    by_lower = {str(c).lower(): str(c) for c in reversed(list(table.columns))}
    return next((by_lower[n.lower()] for n in names if n.lower() in by_lower), None)


def label_matrix(table: pd.DataFrame, columns: Sequence[str], path: Path) -> np.ndarray:
    """Label columns as (rows, labels) float32, blank or "nan" = nan. Raises DataError naming column, row and value."""
    import pandas as pd

    out_RL = np.empty((len(table), len(columns)), dtype=np.float32)
    for j, name in enumerate(columns):
        text = table[name].str.strip()
        blank = (text == "") | (text.str.lower() == "nan")
        values = pd.to_numeric(text.where(~blank), errors="coerce")
        bad = values.isna() & ~blank
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{path}: column '{name}', row {row + 2}: '{text.iloc[row]}' is not a number; "
                "labels are 0, 1, a value, or blank for unknown"
            )
        out_RL[:, j] = values.to_numpy(dtype=np.float32)
    return out_RL


def hash_share(text: str, *, salt: str = "") -> float:
    """A number in [0, 1) that depends on `text` alone: the same on every machine, in every run."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{text}".encode()).digest()[:8]) / 2**64


def hash_split(group: str, shares: Mapping[str, float], *, salt: str = "") -> str:
    """The split of a group by hash: stable when other groups come or go. Shares sum to 1."""
    point, upto = hash_share(group, salt=salt), 0.0
    for name, share in shares.items():
        upto += share
        if point < upto:
            return name
    return list(shares)[-1]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(str(n) for n in names[:24])
    return shown + (f", ... ({len(names)} in all)" if len(names) > 24 else "") if names else "(any)"
