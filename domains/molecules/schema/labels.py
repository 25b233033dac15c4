"""From what a model wrote to a label: the closest one by edit distance, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.errors import DataError


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance: insertions, deletions and substitutions of characters cost 1."""
    if len(a) < len(b):
        a, b = b, a
    other = np.array([ord(c) for c in b])
    row = np.arange(len(b) + 1)
    for i, letter in enumerate(a, start=1):
        best = np.minimum(row[:-1] + (other != ord(letter)), row[1:] + 1)
        # an insertion costs 1 more than the cell to the left: a running minimum after the slope is taken out
        first = np.concatenate([[i], best])
        row = np.minimum.accumulate(first - np.arange(len(b) + 1)) + np.arange(len(b) + 1)
    return int(row[-1])


def closest(text: str, labels: Sequence[str]) -> str:
    """The label with the smallest edit distance, case and runs of space left aside; ties go to the first in `labels`.

    Raises DataError when there is no label.
    """
    if not labels:
        raise DataError("there is no label to map a text to")
    plain = _plain(text)
    distances = [edit_distance(plain, _plain(label)) for label in labels]
    return labels[int(np.argmin(distances))]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
