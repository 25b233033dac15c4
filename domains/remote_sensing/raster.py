"""Raster: values on a georeferenced grid, with their bands. Window arithmetic and places on the Earth.

Shape legend: C = bands, H, W = rows and columns.
A transform is (a, b, c, d, e, f): x = a * column + b * row + c, y = d * column + e * row + f, its origin the outer
corner of the first pixel (pixel is area), so a pixel's centre lies at +0.5. North up: b = d = 0, e < 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.errors import DataError
from domains.remote_sensing.bands import BandSpec

Transform = tuple[float, float, float, float, float, float]
PLAIN: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAME_GRID = 1e-3  # of a pixel: grids whose corners are further apart are two grids


@dataclass(frozen=True, slots=True)
class Window:
    """Rows `top` to `top + height` and columns `left` to `left + width` of a grid, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise DataError(f"window: {self.height} x {self.width} pixels; a window has at least one row and column")


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """What a reader returns.

    values_CHW: float32 in the unit of `spec`, nan where nothing was recorded. crs: "EPSG:32633", another authority's
    code, or WKT; "" = the file states none. time: ISO date of acquisition, or "".
    """

    values_CHW: np.ndarray  # noqa: N815
    spec: BandSpec
    transform: Transform
    crs: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        if self.values_CHW.ndim != 3 or len(self.values_CHW) != len(self.spec):
            raise DataError(
                f"a raster of {len(self.spec)} bands ({', '.join(self.spec.names)}) has shape (bands, rows, columns); "
                f"this array has {self.values_CHW.shape}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        _, rows, columns = self.values_CHW.shape
        return rows, columns

    @property
    def valid_HW(self) -> np.ndarray:  # noqa: N802
        """(H, W) bool: every band was recorded."""
        return np.isfinite(self.values_CHW).all(axis=0)

    @property
    def pixel(self) -> tuple[float, float]:
        """Height and width of a pixel in units of the CRS."""
        return pixel_size(self.transform)

    @property
    def pixel_m(self) -> tuple[float, float]:
        """Height and width of a pixel in metres. Raises DataError when the CRS counts in degrees, or there is none."""
        return pixel_metres(self.crs, self.transform)

    def lonlat(self) -> tuple[float, float]:
        """Longitude and latitude of the centre, degrees (WGS 84); nan without a CRS."""
        rows, columns = self.shape
        return lonlat_of(self.crs, apply(self.transform, columns / 2, rows / 2))

    def window(self, window: Window) -> Raster:
        """The part of the raster below a window that lies inside it."""
        rows, columns = self.shape
        if (
            window.top < 0
            or window.left < 0
            or window.top + window.height > rows
            or window.left + window.width > columns
        ):
            raise DataError(f"window {window} reaches beyond the raster of {rows} x {columns} pixels")
        part = self.values_CHW[:, window.top : window.top + window.height, window.left : window.left + window.width]
        return replace(self, values_CHW=part, transform=shifted(self.transform, window.top, window.left))


def apply(transform: Sequence[float], column: float, row: float) -> tuple[float, float]:
    """(x, y) of a place given in pixels."""
    a, b, c, d, e, f = transform
    return a * column + b * row + c, d * column + e * row + f


def shifted(transform: Sequence[float], top: int, left: int) -> Transform:
    """The transform of a grid that begins `top` rows and `left` columns later."""
    a, b, _, d, e, _ = transform
    x, y = apply(transform, left, top)
    return a, b, x, d, e, y


def scaled(transform: Sequence[float], rows: float, columns: float) -> Transform:
    """The transform of a grid of the same corner whose pixels are so many times higher and wider."""
    a, b, c, d, e, f = transform
    return a * columns, b * rows, c, d * columns, e * rows, f


def pixel_size(transform: Sequence[float]) -> tuple[float, float]:
    """Height and width of a pixel in units of the CRS, also of a turned grid."""
    a, b, _, d, e, _ = transform
    return math.hypot(b, e), math.hypot(a, d)


def pixel_metres(crs: str, transform: Sequence[float]) -> tuple[float, float]:
    """Height and width of a pixel in metres. Raises DataError for a CRS in degrees, and without one."""
    if not crs:
        raise DataError("the raster states no CRS, so its pixels have no size in metres; assign one (gdal_edit -a_srs)")
    unit = _crs(crs)
    if not unit.is_projected:
        raise DataError(
            f"{crs} counts in degrees, whose length varies; reproject to a metric CRS such as UTM for metres"
        )
    factor = unit.linear_units_factor[1]
    height, width = pixel_size(transform)
    return height * factor, width * factor


def lonlat_of(crs: str, place: tuple[float, float]) -> tuple[float, float]:
    """Longitude and latitude in degrees (WGS 84) of (x, y) in `crs`; nan without a CRS."""
    if not crs:
        return math.nan, math.nan
    from rasterio.warp import transform

    longitude, latitude = transform(_crs(crs), "EPSG:4326", [place[0]], [place[1]])
    return float(longitude[0]), float(latitude[0])


def is_plain(transform: Sequence[float]) -> bool:
    """Whether a transform says nothing: pixels count from the corner, as in a picture without georeference."""
    return tuple(transform) == PLAIN


def is_axis_aligned(transform: Sequence[float]) -> bool:
    """Whether rows and columns run along the axes of the CRS."""
    _, b, _, d, _, _ = transform
    return b == 0 and d == 0


def relative(transform: Sequence[float], other: Sequence[float]) -> Transform:
    """The transform from pixels of `other` to pixels of `transform`: inverse(transform) o other."""
    a, b, c, d, e, f = transform
    det = a * e - b * d
    if det == 0 or not all(map(math.isfinite, transform)):
        raise DataError(f"the transform {tuple(transform)} does not span a plane; the file's georeferencing is damaged")
    g, h, i, j, k, m = other
    u, v = i - c, m - f
    return (
        (e * g - b * j) / det, (e * h - b * k) / det, (e * u - b * v) / det,
        (a * j - d * g) / det, (a * k - d * h) / det, (a * v - d * u) / det,
    )  # fmt: skip


def same_grid(
    transform: Sequence[float], shape: Sequence[int], other: Sequence[float], other_shape: Sequence[int]
) -> bool:
    """Whether two grids have the same size and their corners coincide within a thousandth of a pixel."""
    if tuple(shape) != tuple(other_shape):
        return False
    between = relative(transform, other)
    rows, columns = shape
    corners = [(0, 0), (columns, 0), (0, rows), (columns, rows)]
    return all(math.dist(apply(between, x, y), (x, y)) <= SAME_GRID for x, y in corners)


def _crs(crs: str) -> Any:
    from rasterio.crs import CRS

    return CRS.from_user_input(crs)
