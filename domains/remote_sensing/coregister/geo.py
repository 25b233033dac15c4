"""Arithmetic of grids and corrections, and the length of a pixel on the ground.

A correction is a 3 x 3 matrix in units of the reference's CRS: it takes where the moving raster says a place lies to
where the reference shows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import DataError
from domains.remote_sensing.predict.area import FLATTENING, SEMI_MAJOR_M
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.raster import Transform, apply, is_axis_aligned, pixel_size, scaled


def matrix_of(transform: Sequence[float]) -> np.ndarray:
    """(3, 3) from pixels, counted from the outer corner, to the CRS."""
    return np.vstack([np.reshape(transform, (2, 3)), (0, 0, 1)]).astype(np.float64)


def transform_from(matrix_33: np.ndarray) -> Transform:
    a, b, c, d, e, f = (float(v) for v in matrix_33[:2].ravel())
    return a, b, c, d, e, f


def coarser(grid: Grid, factor: float) -> Grid:
    """The same ground in pixels `factor` times as wide; the last ones may reach a little beyond."""
    rows, columns = (max(1, math.ceil(n / factor - 1e-9)) for n in grid.shape)
    return Grid((rows, columns), scaled(grid.transform, factor, factor), grid.crs)


def sampled_at(grid: Grid, correction_33: np.ndarray) -> Transform:
    """Where a raster that is corrected so must be sampled, by its own coordinates, to lie on the grid."""
    return transform_from(np.linalg.inv(correction_33) @ matrix_of(grid.transform))


def in_crs(pixels_33: np.ndarray, transform: Sequence[float]) -> np.ndarray:
    """A correction in pixels of a grid (whole numbers at pixel centres) as one in its CRS."""
    to_corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    to_crs = matrix_of(transform) @ to_corner
    return np.asarray(to_crs @ pixels_33 @ np.linalg.inv(to_crs))


@dataclass(frozen=True, slots=True)
class Ground:
    """Metres per unit of the CRS along x and y, at one place."""

    x: float
    y: float

    @classmethod
    def of(cls, grid: Grid) -> Ground:
        """Exact for a projected CRS's map plane; for degrees, along parallel and meridian of WGS 84 at the middle.

        Raises DataError without a CRS, and for a grid in degrees that is turned.
        """
        from rasterio.crs import CRS

        if not grid.crs:
            raise DataError("the reference states no CRS, so its pixels have no metres; assign one (gdal_edit -a_srs)")
        crs = CRS.from_user_input(grid.crs)
        if crs.is_projected:
            factor = float(crs.linear_units_factor[1])
            return cls(factor, factor)
        if not is_axis_aligned(grid.transform):
            raise DataError(f"the grid is turned against {grid.crs}; reproject it to a projected CRS (gdalwarp -t_srs)")
        _, latitude = apply(grid.transform, grid.shape[1] / 2, grid.shape[0] / 2)
        sine = math.sin(math.radians(latitude))
        square = FLATTENING * (2 - FLATTENING)
        normal = SEMI_MAJOR_M / math.sqrt(1 - square * sine**2)
        meridian = normal * (1 - square) / (1 - square * sine**2)
        degree = math.pi / 180
        return cls(normal * math.cos(math.radians(latitude)) * degree, meridian * degree)

    def pixel(self, transform: Sequence[float]) -> tuple[float, float]:
        """Width and height of a pixel, metres."""
        a, b, _, d, e, _ = transform
        return math.hypot(a * self.x, d * self.y), math.hypot(b * self.x, e * self.y)

    def vector(self, dx: float, dy: float) -> tuple[float, float]:
        """East and north in metres of a step in the CRS."""
        return dx * self.x, dy * self.y


def pixel_in(transform: Sequence[float], shape: tuple[int, int], crs: str, wanted: str) -> float:
    """Side of a pixel of a raster in units of another CRS, at its middle."""
    from rasterio.warp import transform as reproject

    middle = shape[1] / 2, shape[0] / 2
    places = [apply(transform, middle[0] + dx, middle[1] + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))]
    if crs != wanted:
        x, y = reproject(crs, wanted, [p[0] for p in places], [p[1] for p in places])
        places = list(zip(x, y))
    if not np.isfinite(places).all():
        raise DataError(f"its middle is no place in {wanted}; check that both rasters state the right CRS")
    return math.sqrt(math.dist(places[0], places[1]) * math.dist(places[0], places[2]))


def mean_pixel(grid: Grid) -> float:
    height, width = pixel_size(grid.transform)
    return math.sqrt(height * width)
