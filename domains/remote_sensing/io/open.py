"""One door for every kind of raster: what `encode("scene.tif")`, training and embedding all read through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import DataError
from domains.remote_sensing.bands import BandSpec, canonical_name, listed
from domains.remote_sensing.data.source import ArraySource, RasterSource
from domains.remote_sensing.io.guard import DRIVERS
from domains.remote_sensing.io.read import grid_of, read_raster
from domains.remote_sensing.io.resample import Resampling
from domains.remote_sensing.raster import Raster, Transform

ACCEPTED = f"a raster file ({', '.join(DRIVERS)}), a folder with one file per band, or a Raster"


def read(
    source: Any,
    spec: BandSpec,
    *,
    resampling: Resampling = "auto",
    pixel: float | None = None,
    require_crs: bool = False,
) -> Raster:
    """The raster behind a source, in physical values.

    source: a RasterSource or ArraySource, whose own spec says what they hold; a Raster, as it is; or a path, of which
    `spec` says how its numbers are stored (a file's band descriptions set the order; the names of a folder's files end
    with those of their bands, as in `x_B02.tif`). Raises DataError naming the file, the fault and the remedy.
    """
    if isinstance(source, Raster):
        return source
    if isinstance(source, ArraySource):
        from domains.remote_sensing.io.hdf5 import read_array

        return read_array(source)
    described = isinstance(source, (str, Path))
    return read_raster(
        _file(source, spec), resampling=resampling, pixel=pixel, described=described, require_crs=require_crs
    )


def grid(source: Any, spec: BandSpec, *, pixel: float | None = None) -> tuple[Transform, tuple[int, int], str]:
    """(transform, (rows, columns), CRS) of what `read` would return, without reading pixels where it can be helped."""
    if isinstance(source, (Raster, ArraySource)):
        raster = read(source, spec)
        return raster.transform, raster.shape, raster.crs
    return grid_of(_file(source, spec), pixel=pixel)


def _file(source: Any, spec: BandSpec) -> RasterSource:
    if isinstance(source, (str, Path)):
        path = Path(source)
        return folder_source(path, spec) if path.is_dir() else RasterSource(path, spec)
    if not isinstance(source, RasterSource):
        raise DataError(f"cannot read a {type(source).__name__}; give {ACCEPTED}")
    return source


def folder_source(folder: Path, spec: BandSpec, *, time: str = "") -> RasterSource:
    """A folder with one file per band as a source. Raises DataError naming every band without a file."""
    files = band_files(folder, spec)
    missing = [name for name in spec.names if name not in files]
    if missing:
        raise DataError(
            f"{folder}: no file for {listed(missing)} of {spec.describe()}; expected names that end with the band, "
            f"such as {missing[0]}.tif"
        )
    return RasterSource(folder, spec, tuple(files[name] for name in spec.names), time)


def band_files(folder: Path, spec: BandSpec) -> dict[str, str]:
    """Band -> file name, for the files of a folder whose name ends with a band of `spec`."""
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in DRIVERS:
            name = canonical_name(path.stem.rpartition("_")[2])
            if name in spec.names:
                found.setdefault(name, path.name)
    return found
