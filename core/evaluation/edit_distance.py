"""Levenshtein distance between sequences, and what it says of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError


def edit_distance(a: Sequence[object], b: Sequence[object]) -> int:
    """Levenshtein distance: insertions, deletions and substitutions of single items."""
    if not len(a) or not len(b):
        return max(len(a), len(b))
    code: dict[object, int] = {}
    codes_a, codes_b = (np.array([code.setdefault(item, len(code)) for item in text]) for text in (a, b))
    place = np.arange(len(codes_b) + 1)
    row = place.copy()
    for i, item in enumerate(codes_a, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (codes_b != item))  # deleted, substituted
        row = np.concatenate([[i], best])
        row = np.minimum.accumulate(row - place) + place  # inserted, any number of times
    return int(row[-1])


def edit_similarity(told: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
    """(N,) 1 - distance / length of the longer text, in characters; two empty texts have 1."""
    if len(told) != len(right) or not told:
        raise DataError(f"{len(told)} told and {len(right)} right texts; give as many of both, and at least one")
    return np.array([1 - edit_distance(a, b) / max(len(a), len(b), 1) for a, b in zip(told, right, strict=True)])
