"""Is there an image in these numbers at all?"""

from __future__ import annotations

import numpy as np

from core.errors import DataError

MISSING_SHARE = 0.5  # more unusable values than this: the file is damaged rather than masked


def require_signal(array: np.ndarray) -> None:
    """Raises DataError when every value is the same: zeroed or blank pixel data must never pass as an image."""
    flat = array.reshape(-1, order="A") if array.flags.forc else array
    if flat.size > 1 and float(flat.min()) == float(flat.max()):
        raise DataError(
            f"no signal: all {array.size:,} values are {float(flat.flat[0]):g}; the pixel data is blank or lost, "
            "copy the file again or leave it out"
        )


def fill_missing(array: np.ndarray, fill: float | None) -> tuple[np.ndarray, int]:
    """Replace nan and infinite values by `fill` (None: the smallest finite value); returns the array and their count.

    Raises DataError when they are more than half of all values.
    """
    if np.isfinite(array.sum(dtype=np.float64)):
        return array, 0
    good = np.isfinite(array)
    count = int(array.size - good.sum())
    if count > MISSING_SHARE * array.size:
        raise DataError(f"{count:,} of {array.size:,} values are nan or infinite; the file is damaged, copy it again")
    if count == 0:
        return array, 0
    return np.where(good, array, np.float32(array[good].min() if fill is None else fill)), count
