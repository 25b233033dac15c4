"""Samples out of HDF5 files, which others wrote: no object types, links only to files beside the file itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError, missing_extra, nearest
from domains.remote_sensing.data.source import ArraySource
from domains.remote_sensing.io.guard import check_size, reading
from domains.remote_sensing.raster import PLAIN, Raster
from domains.remote_sensing.units import check_values, cleaned, values_of

if TYPE_CHECKING:
    import h5py


def read_array(source: ArraySource) -> Raster:
    """The sample as a raster without georeference. Raises DataError naming file and key."""
    spec = source.spec
    with reading(source.path, "HDF5 file"), _opened(source.path, source.key) as values:
        if source.index is not None and not 0 <= source.index < len(values):
            raise DataError(f"'{source.key}' has {len(values)} entries, there is no number {source.index}")
        shape = values.shape[(source.index is not None) :]
        if len(shape) != 3:
            raise DataError(f"'{source.key}' has samples of shape {shape}; expected bands, rows and columns")
        check_size(*shape)
        array = np.asarray(values[...] if source.index is None else values[source.index])
        array_CHW = np.moveaxis(array, -1, 0) if source.channels_last else array
        if source.channels:
            if max(source.channels) >= len(array_CHW):
                raise DataError(f"'{source.key}' has {len(array_CHW)} channels, band {max(source.channels)} is wanted")
            array_CHW = array_CHW[list(source.channels)]
        if len(array_CHW) != len(spec):
            raise DataError(
                f"'{source.key}' has {len(array_CHW)} channels, and {spec.describe()} was stated with {len(spec)}: "
                f"{', '.join(spec.names)}"
            )
        values_CHW = values_of(np.ascontiguousarray(array_CHW), spec)
        if not np.isfinite(values_CHW).any():
            raise DataError(f"every pixel of '{source.key}' is missing; there is nothing to see, leave it out")
        check_values(values_CHW, spec, where=f"{source.path}: {source.key}")
    return Raster(cleaned(values_CHW, spec), spec.as_values(), PLAIN, "", source.time)


def read_values(path: Path, key: str) -> np.ndarray:
    """A whole data set of numbers. Raises DataError naming file and key."""
    with reading(path, "HDF5 file"), _opened(path, key) as values:
        check_size(1, 1, max(1, int(np.prod(values.shape))))
        return np.asarray(values[...])


@contextmanager
def _opened(path: Path, key: str) -> Iterator[Any]:
    """The data set `key`: of the file, or of a file beside it that the first part of the key links to."""
    h5py = _h5py()
    with h5py.File(path, "r") as file:
        first, _, rest = key.partition("/")
        link = file.get(first, getlink=True)
        if link is None:
            raise DataError(f"there is no '{first}' in it{nearest(first, list(file)[:1000])}")
        if not isinstance(link, h5py.ExternalLink):
            yield _numbers(file, key, h5py)
            return
        name = str(link.filename)
        if Path(name).name != name:
            raise DataError(f"'{first}' links to '{name}', which is not beside it; put the files into one folder")
        other = path.parent / name
        if not other.is_file():
            raise DataError(f"'{first}' links to {other}, which is not there; copy it beside this file")
        with h5py.File(other, "r") as linked:
            yield _numbers(linked, f"{link.path}/{rest}" if rest else link.path, h5py)


def _numbers(file: h5py.File, key: str, h5py: Any) -> Any:
    place: Any = file
    for part in (part for part in key.split("/") if part):
        if not isinstance(place, h5py.Group):
            raise DataError(f"'{key}' goes through a data set; it is no path in this file")
        link = place.get(part, getlink=True)
        if link is None:
            raise DataError(f"there is no '{key}' in it{nearest(part, list(place)[:1000])}")
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"'{key}' is a link to elsewhere; links are followed at the top of a file only")
        place = place[part]
    if not isinstance(place, h5py.Dataset) or place.dtype.kind not in "iufb":
        raise DataError(f"'{key}' is no data set of numbers")
    return place


def _h5py() -> Any:
    try:
        import h5py
        import hdf5plugin  # noqa: F401 - registers the compression filters that public files use
    except ImportError as err:
        raise missing_extra(err.name or "h5py", "remote-sensing") from err
    return h5py
