"""Places, pixels and windows."""

import math

import numpy as np
import pytest
from rasterio.transform import Affine

from core.errors import DataError
from domains.remote_sensing.raster import (
    PLAIN,
    Raster,
    Window,
    apply,
    is_axis_aligned,
    pixel_size,
    relative,
    same_grid,
    scaled,
    shifted,
)  # fmt: skip
from domains.remote_sensing.sensors import preset

UTM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0)
TURNED = tuple((Affine.translation(5e5, 53e5) @ Affine.rotation(30) @ Affine.scale(10, -20))[:6])


def raster(transform=UTM, crs="EPSG:32632", rows=6, columns=8):
    return Raster(np.zeros((2, rows, columns), np.float32), preset("sentinel1_db"), transform, crs)


@pytest.mark.parametrize("transform", [UTM, TURNED])
def test_arithmetic_agrees_with_affine(transform):
    affine = Affine(*transform)
    assert apply(transform, 3.5, 2) == pytest.approx(affine @ (3.5, 2))
    assert shifted(transform, 2, 5) == pytest.approx((affine @ Affine.translation(5, 2))[:6])
    assert scaled(transform, 2, 6) == pytest.approx((affine @ Affine.scale(6, 2))[:6])
    other = affine @ Affine.translation(4, 1) @ Affine.scale(2)
    assert relative(transform, other[:6]) == pytest.approx((~affine @ other)[:6], abs=1e-6)


def test_pixel_sizes_also_of_a_turned_grid():
    assert pixel_size(UTM) == (10, 10)
    assert pixel_size(TURNED) == pytest.approx((20, 10))
    assert is_axis_aligned(UTM)
    assert not is_axis_aligned(TURNED)


def test_metres_are_refused_for_degrees_and_without_a_crs():
    assert raster().pixel_m == (10, 10)
    degrees = (1e-4, 0.0, 11.0, 0.0, -1e-4, 48.0)
    with pytest.raises(DataError, match=r"EPSG:4326 counts in degrees, whose length varies; reproject"):
        _ = raster(degrees, "EPSG:4326").pixel_m
    with pytest.raises(DataError, match=r"states no CRS"):
        _ = raster(crs="").pixel_m
    feet = raster(crs="EPSG:2263").pixel_m  # New York, US survey feet
    assert feet[0] == pytest.approx(10 * 1200 / 3937)


def test_the_centre_of_a_zone_lies_on_its_meridian():
    centred = (10.0, 0.0, 500_000.0 - 40, 0.0, -10.0, 5_300_000.0)
    longitude, latitude = raster(centred).lonlat()
    assert longitude == pytest.approx(9.0, abs=1e-6)
    assert 47.8 < latitude < 47.9
    assert all(map(math.isnan, raster(crs="").lonlat()))


def test_a_window_moves_the_corner_and_may_not_reach_beyond():
    part = raster().window(Window(1, 2, 3, 4))
    assert part.shape == (3, 4)
    assert part.transform[2] == 500_020
    assert part.transform[5] == 5_299_990
    with pytest.raises(DataError, match=r"reaches beyond the raster of 6 x 8"):
        raster().window(Window(4, 0, 3, 4))
    with pytest.raises(DataError, match=r"at least one row"):
        Window(0, 0, 0, 3)


def test_grids_are_the_same_within_a_thousandth_of_a_pixel():
    assert same_grid(UTM, (6, 8), shifted(UTM, 0, 0), (6, 8))
    assert same_grid(UTM, (6, 8), (10.0, 0.0, 500_000.005, 0.0, -10.0, 5_300_000.0), (6, 8))
    assert not same_grid(UTM, (6, 8), (10.0, 0.0, 500_000.05, 0.0, -10.0, 5_300_000.0), (6, 8))
    assert not same_grid(UTM, (6, 8), UTM, (8, 6))


def test_a_transform_without_extent_is_damage():
    with pytest.raises(DataError, match=r"does not span a plane"):
        relative((0.0, 0.0, 1.0, 0.0, 0.0, 2.0), PLAIN)


def test_valid_pixels_are_those_that_every_band_recorded():
    one = raster()
    one.values_CHW[0, 0, 0] = np.nan
    assert one.valid_HW.sum() == 6 * 8 - 1
    with pytest.raises(DataError, match=r"2 bands \(VV, VH\).*this array has \(3, 4, 4\)"):
        Raster(np.zeros((3, 4, 4), np.float32), preset("sentinel1_db"), UTM)
