"""GeoTIFF, JPEG 2000, PNG and JPEG to a Raster: windows, validity, scale and offset tags, several resolutions.

What is done with rasters that are not as they should be:
  cut short, no raster, 0 bands, all nodata   DataError (all nodata is allowed for windows: `allow_empty`)
  no CRS                                      read; `crs` is "", places and metres are unknown (`require_crs` refuses)
  CRS that its coordinates contradict         DataError: degrees in a metric CRS, metres in a geographic one
  turned (rotated) or south-up transform      read as it lies, and the transform is carried along; never straightened
  several resolutions                         onto the finest grid, or the one asked for; see `resample.py`
  scale and offset tags                       applied, in place of those of the spec: the file knows itself best
  band descriptions that contradict the spec  DataError that lists both orders
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError
from domains.remote_sensing.bands import BandSpec, canonical_name, mismatch
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.io.guard import check_size, environment, opened, reading
from domains.remote_sensing.io.header import Header, check_position, read_header
from domains.remote_sensing.io.resample import Resampling, resample
from domains.remote_sensing.raster import Raster, Transform, Window, apply, relative, same_grid, scaled, shifted
from domains.remote_sensing.units import check_values, cleaned, from_power, to_power, values_of


def read_raster(
    source: RasterSource,
    *,
    window: Window | None = None,
    pixel: float | None = None,
    resampling: Resampling = "auto",
    described: bool = False,
    require_crs: bool = False,
    allow_empty: bool = False,
) -> Raster:
    """Read a raster, or a window of it, in physical values with nan where nothing was recorded.

    window: in pixels of the result's grid; it may not reach beyond it; None = that of `source`, if any. pixel: size of
    the result's pixels in units of the CRS; None = the finest of the files. resampling: how bands of other resolutions
    come onto that grid (radar in dB as power). described: names in the file's band descriptions set the order, where
    there are any.
    Raises DataError naming the file, the fault and the remedy.
    """
    spec, paths = source.spec, [source.path / name for name in source.files] or [source.path]
    if window is None and source.window is not None:
        window, allow_empty = source.window, True
    if source.files and len(paths) != len(spec):
        raise DataError(
            f"{source.path}: {len(paths)} files for the {len(spec)} bands {', '.join(spec.names)} of {spec.describe()}"
        )
    with environment(), ExitStack() as stack:
        files, headers = [], []
        for path in paths:
            with reading(path):
                files.append(stack.enter_context(opened(path)))
                headers.append(read_header(files[-1]))
                check_position(headers[-1])
            if require_crs and not headers[-1].crs:
                raise DataError(
                    f"{path}: states no CRS; assign the right one, for instance gdal_edit.py -a_srs EPSG:32633"
                )
        with reading(source.path):
            if not source.files:
                spec = stated_spec(spec, headers[0], described)
            transform, shape = _windowed(*_grid(paths, headers, pixel), window)
            check_size(len(spec), *shape)
        ground, bands = _same_ground(headers), []
        for i, (path, file, header) in enumerate(zip(paths, files, headers)):
            part = replace(spec, bands=spec.bands[i : i + 1]) if source.files else spec
            with reading(path):
                bands.append(_on_grid(file, header, part, transform, shape, resampling, ground))
    values_CHW = np.concatenate(bands) if len(bands) > 1 else bands[0]
    if not allow_empty and not np.isfinite(values_CHW).any():
        raise DataError(f"{source.path}: every pixel is marked as missing; there is nothing to see, leave it out")
    check_values(values_CHW, spec, where=str(source.path))
    return Raster(
        cleaned(values_CHW, spec), spec.as_values(), transform, headers[0].crs, source.time or headers[0].time
    )


def grid_of(source: RasterSource, *, pixel: float | None = None) -> tuple[Transform, tuple[int, int], str]:
    """(transform, (rows, columns), CRS) that `read_raster` would return, from the headers alone."""
    paths = [source.path / name for name in source.files] or [source.path]
    distances = [band.gsd for band in source.spec.bands]
    if source.files and None not in distances:  # one file of the finest bands tells the grid
        paths = [paths[distances.index(source.spec.gsd)]]
    headers = []
    with environment():
        for path in paths:
            with reading(path), opened(path) as file:
                headers.append(read_header(file))
    with reading(source.path):
        return *_windowed(*_grid(paths, headers, pixel), source.window), headers[0].crs


def stated_spec(spec: BandSpec, header: Header, described: bool = False) -> BandSpec:
    """The spec in the order of the file: band descriptions are believed, or must agree."""
    names = [canonical_name(name) for name in header.descriptions]
    known = [name for name in names if name in spec.names]
    if not known:  # described as nothing, or as something else
        if header.count != len(spec):
            raise DataError(
                f"it has {header.count} bands, and {spec.describe()} was stated with {len(spec)}: "
                f"{', '.join(spec.names)}; state the bands it holds, in their order"
            )
        return spec
    if described and len(known) == len(names):
        return spec.select(names)
    if names != list(spec.names):
        stated = BandSpec(
            spec.sensor, tuple(b for n in known for b in spec.bands if b.name == n), spec.unit, spec.product
        )
        raise mismatch(stated, spec, f"its band descriptions ({', '.join(names)}) are not what was stated")
    return spec


def _grid(paths: Sequence[Path], headers: Sequence[Header], pixel: float | None) -> tuple[Transform, tuple[int, int]]:
    """The result's grid: that of the finest file, or of its corner with pixels of the wanted size."""
    for path, header in zip(paths[1:], headers[1:]):
        if header.crs != headers[0].crs:
            raise DataError(
                f"{path}: its CRS is {header.crs or 'none'}, that of {paths[0].name} is {headers[0].crs or 'none'}; "
                "bands of one raster share a CRS, reproject one of them"
            )
    finest = (
        max(headers, key=lambda h: h.rows * h.columns) if not _placed(headers) else min(headers, key=lambda h: h.pixel)
    )
    if pixel is None:
        return finest.transform, (finest.rows, finest.columns)
    height, width = finest.pixel
    rows, columns = (max(1, math.floor(n * size / pixel + 1e-6)) for n, size in
                     ((finest.rows, height), (finest.columns, width)))  # fmt: skip
    return scaled(finest.transform, pixel / height, pixel / width), (rows, columns)


def _windowed(transform: Transform, shape: tuple[int, int], window: Window | None) -> tuple[Transform, tuple[int, int]]:
    if window is None:
        return transform, shape
    bottom, right = window.top + window.height, window.left + window.width
    if window.top < 0 or window.left < 0 or bottom > shape[0] or right > shape[1]:
        raise DataError(f"window {window} reaches beyond the raster of {shape[0]} x {shape[1]} pixels")
    return shifted(transform, window.top, window.left), (window.height, window.width)


def _placed(headers: Sequence[Header]) -> bool:
    return any(header.placed for header in headers)


def _same_ground(headers: Sequence[Header]) -> tuple[int, int] | None:
    """Size of the finest file when none is georeferenced: all then cover the same ground."""
    if _placed(headers):
        return None
    finest = max(headers, key=lambda h: h.rows * h.columns)
    return finest.rows, finest.columns


def _on_grid(
    file: Any,
    header: Header,
    spec: BandSpec,
    transform: Transform,
    shape: tuple[int, int],
    resampling: Resampling,
    unplaced: tuple[int, int] | None,
) -> np.ndarray:
    """(C, R, S) values of the bands of one file on the result's grid."""
    own = header.transform
    if unplaced is not None:  # no georeference: pixels of this file are so many of the finest file's
        own = (unplaced[1] / header.columns, 0.0, 0.0, 0.0, unplaced[0] / header.rows, 0.0)
    between = relative(own, transform)
    corners = [apply(between, x, y) for x in (0, shape[1]) for y in (0, shape[0])]
    left, right = (pick(x for x, _ in corners) for pick in (min, max))
    top, bottom = (pick(y for _, y in corners) for pick in (min, max))
    if right <= 0 or bottom <= 0 or left >= header.columns or top >= header.rows:
        raise DataError("it does not cover the ground of the other bands; check that the files belong together")
    # one pixel more on each side, for interpolation
    rows = max(0, math.floor(top + 1e-6) - 1), min(header.rows, math.ceil(bottom - 1e-6) + 1)
    columns = max(0, math.floor(left + 1e-6) - 1), min(header.columns, math.ceil(right - 1e-6) + 1)
    exact = same_grid(shifted(own, round(top), round(left)), shape, transform, shape)
    if exact and round(top) >= 0 and round(left) >= 0 and bottom <= header.rows + 0.5 and right <= header.columns + 0.5:
        return _values(file, header, spec, (round(top), round(top) + shape[0]), (round(left), round(left) + shape[1]))
    values_CHW = _values(file, header, spec, rows, columns)
    between = relative(shifted(own, rows[0], columns[0]), transform)
    if spec.unit in ("db", "amplitude") and resampling != "nearest":  # a mean of dB is no mean of what came back
        power_CHW = resample(to_power(values_CHW, spec.unit), between, shape, resampling)
        return from_power(power_CHW, spec.unit)
    return resample(values_CHW, between, shape, resampling)


def _values(file: Any, header: Header, spec: BandSpec, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """(C, H, W) float32 of a window of one file, scaled, nan where missing."""
    place = (rows, columns)
    stored_CHW = file.read(list(header.bands), window=place)
    if header.nodata is not None:
        spec = replace(spec, nodata=header.nodata)
    if header.scale is not None:
        spec = replace(spec, scale=header.scale, offset=header.offset)
    values_CHW = values_of(stored_CHW, spec)
    if header.masked:
        values_CHW[:, file.dataset_mask(window=place) == 0] = np.nan
    return values_CHW
