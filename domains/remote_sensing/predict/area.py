"""The ground that pixels cover, in hectares: of a projected grid by its pixel, of a geographic one on the ellipsoid."""

from __future__ import annotations

import math

import numpy as np

from core.errors import DataError
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.raster import is_axis_aligned

M2_PER_HECTARE = 10_000.0
SEMI_MAJOR_M, FLATTENING = 6_378_137.0, 1 / 298.257223563  # WGS 84


def row_hectares(grid: Grid) -> np.ndarray | None:
    """(rows,) float64: hectares of one pixel in each row; None without a CRS, whose pixels have no size.

    A projected CRS: the area of its pixel on the map plane (UTM scales lengths by 0.9996 to 1.001, so areas are within
    0.2% of those on the ground; equal-area projections are exact). A geographic CRS in degrees: the area on the WGS 84
    ellipsoid between the pixel's parallels and meridians. Raises DataError for a turned geographic grid.
    """
    if not grid.crs:
        return None
    from rasterio.crs import CRS

    crs = CRS.from_user_input(grid.crs)
    a, b, _, d, e, f = grid.transform
    rows = grid.shape[0]
    if crs.is_projected:
        metres = crs.linear_units_factor[1]
        return np.full(rows, abs(a * e - b * d) * metres**2 / M2_PER_HECTARE)
    if not crs.is_geographic:
        return None
    if not is_axis_aligned(grid.transform):
        raise DataError(
            f"the grid is turned against the meridians of {grid.crs}, so its pixels have no simple area; reproject it "
            "to a projected CRS (gdalwarp -t_srs), or map without areas"
        )
    edges = f + e * np.arange(rows + 1)
    north_M2 = np.array([_to_parallel_m2(math.radians(max(-90.0, min(90.0, edge)))) for edge in edges])
    return np.abs(np.diff(north_M2)) * math.radians(abs(a)) / M2_PER_HECTARE


def _to_parallel_m2(latitude: float) -> float:
    """m2 between the equator and a parallel (radians), per radian of longitude (Snyder 1987, authalic latitude)."""
    eccentricity = math.sqrt(FLATTENING * (2 - FLATTENING))
    sine = math.sin(latitude)
    semi_minor = SEMI_MAJOR_M * (1 - FLATTENING)
    return (
        semi_minor**2 / 2 * (sine / (1 - (eccentricity * sine) ** 2) + math.atanh(eccentricity * sine) / eccentricity)
    )
