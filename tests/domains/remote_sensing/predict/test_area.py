"""Areas of pixels against closed forms: the map plane, the sphere-like cap, the whole Earth."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from core.errors import DataError
from domains.remote_sensing.predict import map_scene
from domains.remote_sensing.predict.area import row_hectares
from domains.remote_sensing.predict.inputs import Grid

EARTH_M2 = 510_065_621_724_000.0  # surface of the WGS 84 ellipsoid (Moritz 2000, GRS 80 agrees to nine digits)


def test_a_metric_pixel_has_its_area_on_the_map_plane_also_when_turned_or_in_feet():
    flat = row_hectares(Grid((3, 4), (10.0, 0.0, 5e5, 0.0, -10.0, 5.4e6), "EPSG:32633"))
    assert flat.tolist() == [0.01] * 3
    c, s = 20 * math.cos(0.3), 20 * math.sin(0.3)
    turned = row_hectares(Grid((2, 2), (c, s, 5e5, s, -c, 5.4e6), "EPSG:32633"))
    np.testing.assert_allclose(turned, 0.04)
    feet = row_hectares(Grid((1, 1), (100.0, 0.0, 1e6, 0.0, -100.0, 2e5), "EPSG:2263"))  # US survey feet
    np.testing.assert_allclose(feet, (100 * 1200 / 3937) ** 2 / 1e4)


def test_degrees_are_measured_on_the_ellipsoid():
    whole = Grid((180, 360), (1.0, 0.0, -180.0, 0.0, -1.0, 90.0), "EPSG:4326")
    rows = row_hectares(whole)
    assert rows.sum() * 360 * 1e4 == pytest.approx(EARTH_M2, rel=1e-6)
    np.testing.assert_allclose(rows, rows[::-1])  # north as south
    # a small pixel is a rectangle: meridian and parallel radii of curvature (Snyder 1987, eq. 4-19 and 4-20)
    step, latitude = 1e-4, math.radians(48.0)
    e2 = (2 - 1 / 298.257223563) / 298.257223563
    curve = 1 - e2 * math.sin(latitude) ** 2
    north = 6_378_137 * (1 - e2) / curve**1.5 * math.radians(step)
    east = 6_378_137 * math.cos(latitude) / curve**0.5 * math.radians(step)
    small = row_hectares(Grid((1, 1), (step, 0.0, 11.0, 0.0, -step, 48 + step / 2), "EPSG:4326"))
    assert small[0] == pytest.approx(north * east / 1e4, rel=1e-6)


def test_without_a_crs_there_is_no_area_and_a_turned_geographic_grid_is_refused():
    assert row_hectares(Grid((2, 2), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "")) is None
    with pytest.raises(DataError, match="turned against the meridians of EPSG:4326"):
        row_hectares(Grid((2, 2), (0.1, 0.1, 10.0, 0.1, -0.1, 48.0), "EPSG:4326"))


def test_the_areas_of_a_map_are_those_of_its_pixels(scenes, convolved, tmp_path):
    raster = scenes.optical(50, 60)
    raster.values_CHW[:, 40:] = np.nan
    found = map_scene(convolved(), scenes.s2(raster), tmp_path / "m", classes=scenes.CLASSES, window=32, overlap=8,
                      margin=2)  # fmt: skip
    assert sum(area.pixels for area in found.areas) == 40 * 60
    assert sum(area.hectares for area in found.areas) == pytest.approx(40 * 60 * 0.01)
    assert sum(area.percent for area in found.areas) == pytest.approx(100)
    with open(tmp_path / "m" / "areas.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], int(row["pixels"])) for row in rows] == [(a.name, a.pixels) for a in found.areas]


def test_a_map_without_a_crs_counts_pixels_only(scenes, convolved, tmp_path):
    raster = scenes.optical(20, 20, crs="", transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    found = map_scene(convolved(), scenes.s2(raster), tmp_path / "m", classes=scenes.CLASSES, window=32, overlap=8,
                      margin=2)  # fmt: skip
    assert {area.hectares for area in found.areas} == {None}
    assert sum(area.pixels for area in found.areas) == 400
