"""Where a raster lies, other bands of one product, and rasters as pictures."""

import numpy as np
import pytest

from core.errors import ConfigError
from domains.remote_sensing.processors import LocationProcessor, OpticalProcessor, RadarProcessor
from domains.remote_sensing.raster import Raster
from domains.remote_sensing.sensors import preset

SPEC = preset("sentinel2_l2a").as_values()


def raster(crs="EPSG:32633", side=4):
    values = np.linspace(0, 1, 12 * side * side, dtype=np.float32).reshape(12, side, side)
    return Raster(values, SPEC, (10.0, 0.0, 500_000 - 5 * side, 0.0, -10.0, 5_000_000 + 5 * side), crs)


def test_a_place_is_the_longitude_and_latitude_of_the_middle():
    processor = LocationProcessor(of="s2", sensor="sentinel2_l2a")
    inp = processor.collate([processor.load(raster())])
    longitude, latitude = inp.x[0].tolist()
    assert longitude == pytest.approx(15, abs=1e-6)  # the central meridian of UTM zone 33
    # 5,000 km along the meridian, divided by 0.9996: 45.1535 degrees (WGS 84)
    assert latitude == pytest.approx(45.1535, abs=1e-3)


def test_a_raster_without_crs_has_no_place():
    assert LocationProcessor(of="s2", sensor="sentinel2_l2a").load(raster(crs="")) == {}


def test_optical_pictures_are_red_green_blue_and_radar_adds_the_difference():
    x = np.zeros((12, 4, 4), np.float32)
    x[SPEC.names.index("B04"), :2] = 1  # red above
    x[SPEC.names.index("B02"), 2:] = 1  # blue below
    picture = OpticalProcessor().shown(x)
    assert picture[0, 0].tolist() == [255, 0, 0]
    assert picture[3, 0].tolist() == [0, 0, 255]
    radar = RadarProcessor().shown(np.stack([np.eye(4), np.zeros((4, 4))]).astype(np.float32))
    assert radar.shape == (4, 4, 3)
    assert radar[0, 0].tolist() == [255, 0, 255]


def test_bands_of_another_modalitys_files_need_published_statistics():
    with pytest.raises(ConfigError, match="nothing is learned from the files of 's2'"):
        OpticalProcessor(of="s2", sensor="sentinel2_20m")
    processor = OpticalProcessor(of="s2", sensor="sentinel2_20m", statistics="ssl4eo_s2a")
    assert processor.of == "s2"
    assert processor.collate([processor.load(raster())]).x.shape == (1, 6, 4, 4)
