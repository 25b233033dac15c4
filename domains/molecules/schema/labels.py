"""From what a model wrote to a label: the closest one by edit distance, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.errors import DataError
from core.evaluation.edit_distance import edit_distance


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
