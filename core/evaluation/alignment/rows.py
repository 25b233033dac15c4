"""What every alignment figure asks of its rows. Shape legend: N, M = rows, D, E = widths."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError, DataError

CHUNK = 1024  # rows compared at once


def precise(x_ND: Tensor) -> Tensor:
    """Detached, float32 or finer, on its own device."""
    return x_ND.detach().to(torch.promote_types(x_ND.dtype, torch.float32))


def unit(x_ND: Tensor) -> Tensor:
    """Rows of length 1, float32 or finer; a zero row stays zero."""
    return F.normalize(precise(x_ND), dim=1)


def check_pairs(who: str, x_ND: Tensor, y_NE: Tensor, *, least: int = 1, same_width: bool = True) -> None:
    """Raise DataError unless row i of both belongs together and there are `least` rows."""
    if x_ND.ndim != 2 or y_NE.ndim != 2 or len(x_ND) != len(y_NE) or (same_width and x_ND.shape != y_NE.shape):
        expected = "two (N, D) of equal shape" if same_width else "(N, D) and (N, E)"
        raise DataError(f"{who}: shapes are {tuple(x_ND.shape)} and {tuple(y_NE.shape)}; give {expected}, paired rows")
    if len(x_ND) < least:
        raise DataError(f"{who}: {len(x_ND)} rows; needs at least {least}")


def row_blocks(rows: int, chunk: int) -> Iterator[slice]:
    """Slices of at most `chunk` rows. Raises ConfigError for a chunk below 1."""
    if chunk < 1:
        raise ConfigError(f"chunk is {chunk}; give the number of rows to compare at once, at least 1")
    for start in range(0, rows, chunk):
        yield slice(start, min(start + chunk, rows))
