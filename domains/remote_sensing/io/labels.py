"""Label maps: class numbers on a grid, -1 where nobody labelled; and back to files.

Shape legend: H, W = rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import DataError
from domains.remote_sensing.bands import listed
from domains.remote_sensing.data.source import LabelSource
from domains.remote_sensing.io.guard import check_size, environment, opened, reading
from domains.remote_sensing.io.header import check_position, read_header
from domains.remote_sensing.io.resample import resample
from domains.remote_sensing.raster import PLAIN, Transform, is_plain, relative, same_grid

UNKNOWN = 255  # what a plain label file means by it


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """labels_HW: int16, -1 = not labelled. crs: "" = the file states none."""

    labels_HW: np.ndarray  # noqa: N815
    transform: Transform
    crs: str


def read_label_map(source: Path | LabelSource) -> LabelMap:
    """The label map of a file. Raises DataError naming the file, and the number that is no class."""
    told = source if isinstance(source, LabelSource) else LabelSource(source)
    path = told.path
    with environment(), reading(path, "label map"), opened(path) as file:
        header = read_header(file)
        check_position(header)
        check_size(1, header.rows, header.columns)
        if told.band > file.count:
            raise DataError(f"it has {file.count} bands, the labels are said to be in band {told.band}")
        numbers_HW = file.read(told.band)
        whole = numbers_HW.dtype.kind in "iu" or bool(
            (numbers_HW == np.rint(numbers_HW))[np.isfinite(numbers_HW)].all()
        )
        if not whole:
            raise DataError("its values are not whole numbers, so it is no label map; give the file of the labels")
        labels_HW = _as_classes(numbers_HW, told, header.nodata)
    return LabelMap(labels_HW, header.transform, header.crs)


def _as_classes(numbers_HW: np.ndarray, told: LabelSource, nodata: float | None) -> np.ndarray:
    missing = ~np.isfinite(numbers_HW) if numbers_HW.dtype.kind == "f" else np.zeros(numbers_HW.shape, bool)
    missing |= np.isin(numbers_HW, [*told.unknown, *([nodata] if nodata is not None else [])])
    numbers = np.where(missing, 0, numbers_HW).astype(np.int64)
    numbers[missing] = -1
    if told.mapping:
        known = dict(told.mapping)
        values, inverse = np.unique(numbers, return_inverse=True)
        return np.array([known.get(int(v), -1) for v in values], np.int16)[inverse].reshape(numbers.shape)
    most = np.iinfo(np.int16).max if told.classes is None else told.classes - 1
    wrong = np.unique(numbers[(numbers > most) | (numbers < -1)])
    if len(wrong):
        raise DataError(
            f"label {listed([str(v) for v in wrong[:5]])} is outside 0 to {most}; map it to a class, or state it as "
            "unknown"
        )
    return numbers.astype(np.int16)


def onto_grid(labels: LabelMap, transform: Sequence[float], shape: tuple[int, int], crs: str) -> np.ndarray:
    """(H, W) int16 of the labels on another grid of the same CRS, by nearest neighbour; -1 beyond them.

    Two files without georeference are taken to cover the same ground. Raises DataError for another CRS, or for a map
    that covers nothing of the grid.
    """
    rows, columns = labels.labels_HW.shape
    own = labels.transform
    if is_plain(own) and is_plain(transform):
        own = (shape[1] / columns, 0.0, 0.0, 0.0, shape[0] / rows, 0.0)
        transform = PLAIN
    elif labels.crs and crs and labels.crs != crs:
        raise DataError(f"the labels are in {labels.crs}, the raster in {crs}; reproject the labels (gdalwarp -r near)")
    if same_grid(own, (rows, columns), transform, shape):
        return labels.labels_HW
    values = np.where(labels.labels_HW < 0, np.nan, labels.labels_HW).astype(np.float32)
    out_HW = resample(values[None], relative(own, transform), shape, "nearest")[0]
    if not np.isfinite(out_HW).any() and (labels.labels_HW >= 0).any():
        raise DataError("the labels do not lie on the ground of the raster; check that the files belong together")
    return np.where(np.isfinite(out_HW), out_HW, -1).astype(np.int16)
