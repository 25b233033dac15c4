"""Reading rasters: values, windows, grids, tags."""

import numpy as np
import pytest
import rasterio
from rs_files import CRS, ORIGIN, north_up, radar_db, write_bands, write_tif

from core.errors import DataError
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.io import read, read_raster
from domains.remote_sensing.io.open import folder_source
from domains.remote_sensing.raster import Window
from domains.remote_sensing.sensors import preset, with_baseline

S2, S1 = preset("sentinel2_l2a"), preset("sentinel1_db")


def test_a_folder_of_bands_lies_on_the_finest_grid(tmp_path):
    counts = write_bands(tmp_path)
    raster = read(tmp_path, S2)
    assert raster.shape == (24, 24)
    assert raster.crs == CRS
    assert raster.transform == north_up()
    assert raster.spec == S2.as_values()
    np.testing.assert_allclose(raster.values_CHW[1], counts["B02"] / 1e4, rtol=1e-5)
    for row, name in enumerate(S2.names):  # bilinear keeps the mean of the middle, and never leaves the range
        stored = counts[name] / 1e4
        assert stored.min() - 1e-6 <= raster.values_CHW[row].min()
        assert raster.values_CHW[row].max() <= stored.max() + 1e-6


def test_nearest_repeats_coarse_pixels(tmp_path):
    counts = write_bands(tmp_path)
    raster = read(tmp_path, S2, resampling="nearest")
    np.testing.assert_allclose(raster.values_CHW[4], np.kron(counts["B05"], np.ones((2, 2))) / 1e4, rtol=1e-5)
    np.testing.assert_allclose(raster.values_CHW[0], np.kron(counts["B01"], np.ones((6, 6))) / 1e4, rtol=1e-5)


def test_a_coarser_grid_averages_the_finer_bands(tmp_path):
    counts = write_bands(tmp_path)
    raster = read(tmp_path, S2, pixel=20)
    assert raster.shape == (12, 12)
    assert raster.pixel == (20, 20)
    means = counts["B02"].reshape(12, 2, 12, 2).mean(axis=(1, 3)) / 1e4
    np.testing.assert_allclose(raster.values_CHW[1], means, rtol=1e-5)
    np.testing.assert_allclose(raster.values_CHW[4], counts["B05"] / 1e4, rtol=1e-5)


@pytest.mark.parametrize(
    "window", [Window(0, 0, 24, 24), Window(5, 7, 8, 11), Window(23, 23, 1, 1), Window(0, 13, 24, 4)]
)
def test_a_window_is_the_part_of_the_whole(tmp_path, window):
    write_bands(tmp_path)
    source = folder_source(tmp_path, S2)
    whole, part = read_raster(source).window(window), read_raster(source, window=window)
    assert part.transform == whole.transform
    np.testing.assert_allclose(part.values_CHW, whole.values_CHW, atol=1e-6)


def test_a_window_beyond_the_raster_is_named(tmp_path):
    write_bands(tmp_path)
    with pytest.raises(DataError, match=r"window .* reaches beyond the raster of 24 x 24 pixels"):
        read_raster(folder_source(tmp_path, S2), window=Window(20, 0, 8, 8))


def test_band_descriptions_set_the_order_of_a_path_and_must_agree_with_a_stated_one(tmp_path):
    db = radar_db()
    path = write_tif(tmp_path / "x.tif", db[::-1], transform=north_up(), names=("VH", "VV"))
    described = read(path, S1)
    assert described.spec.names == ("VH", "VV")
    np.testing.assert_array_equal(described.values_CHW, db[::-1])
    with pytest.raises(
        DataError, match=r"(?s)x.tif: its band descriptions \(VH, VV\).*the data has.*VH, VV.*wanted.*VV, VH"
    ):
        read(RasterSource(path, S1), S1)


def test_another_number_of_bands_is_named_with_those_that_were_stated(tmp_path):
    path = write_tif(tmp_path / "x.tif", np.full((13, 4, 4), 500, np.uint16), transform=north_up())
    with pytest.raises(DataError, match=r"x.tif: it has 13 bands, and sentinel2 L2A was stated with 12: B01, B02"):
        read(path, S2)


def test_scale_and_offset_tags_of_the_file_replace_those_of_the_spec(tmp_path):
    stored = np.array([[-32768, -2000], [1000, 9000]], np.int16)
    path = write_tif(tmp_path / "x.tif", stored, transform=north_up(), nodata=-32768, scale=2e-4, offset=0.5)
    raster = read(RasterSource(path, preset("sentinel2_l2a", ["B04"])), S2)
    np.testing.assert_allclose(raster.values_CHW[0], [[np.nan, 0.1], [0.7, 2.3]], rtol=1e-5)


def test_the_offset_of_a_baseline_is_applied_once_and_twice_is_noticed(tmp_path):
    path = write_tif(tmp_path / "x.tif", np.full((1, 4, 4), 1500, np.uint16), transform=north_up(), nodata=0)
    spec = with_baseline(preset("sentinel2_l2a", ["B04"]), "05.10")
    np.testing.assert_allclose(read(RasterSource(path, spec), spec).values_CHW, 0.05, rtol=1e-4)
    dark = write_tif(tmp_path / "y.tif", np.full((1, 4, 4), 100, np.uint16), transform=north_up(), nodata=0)
    with pytest.raises(DataError, match=r"y.tif.*the offset was taken off twice"):
        read(RasterSource(dark, spec), spec)


def test_db_stays_float(tmp_path):
    db = radar_db()
    path = write_tif(tmp_path / "x.tif", db, transform=north_up())
    np.testing.assert_array_equal(read(path, S1).values_CHW, db)


def test_nan_nodata_and_masks_are_missing(tmp_path):
    db = radar_db(8)
    db[0, 0, 0], db[1, 1, 1] = np.nan, -9999
    path = write_tif(tmp_path / "x.tif", db, transform=north_up(), nodata=-9999)
    raster = read(path, S1)
    assert np.isnan(raster.values_CHW[0, 0, 0])
    assert np.isnan(raster.values_CHW[1, 1, 1])
    assert (~raster.valid_HW).sum() == 2
    picture = np.full((4, 5, 5), 200, np.uint8)
    picture[3, :2] = 0  # alpha
    with_alpha = write_tif(tmp_path / "rgba.tif", picture, transform=north_up(), photometric="RGB", alpha="YES")
    seen = read(with_alpha, preset("rgb"))
    assert seen.values_CHW.shape == (3, 5, 5)
    assert np.isnan(seen.values_CHW[:, :2]).all()
    np.testing.assert_allclose(seen.values_CHW[:, 2:], 200 / 255, rtol=1e-5)


def test_radar_is_averaged_as_power(tmp_path):
    db = np.full((2, 4, 4), -20.0, np.float32)
    db[:, ::2] = -10.0
    path = write_tif(tmp_path / "x.tif", db, transform=north_up())
    np.testing.assert_allclose(read(path, S1, pixel=20).values_CHW, 10 * np.log10((0.1 + 0.01) / 2), atol=1e-4)


def test_pictures_have_no_place(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 6, 7), np.uint8)
    with rasterio.open(tmp_path / "x.png", "w", driver="PNG", count=3, height=6, width=7, dtype="uint8") as file:
        file.write(pixels)
    raster = read(tmp_path / "x.png", preset("rgb"))
    assert raster.crs == ""
    np.testing.assert_allclose(raster.values_CHW, pixels / 255, rtol=1e-5)


def test_bands_without_georeference_are_taken_to_cover_the_same_ground(tmp_path):
    fine, coarse = np.full((4, 4), 400, np.uint16), np.array([[100, 300], [500, 700]], np.uint16)
    write_tif(tmp_path / "B02.tif", fine, crs=None)
    write_tif(tmp_path / "B05.tif", coarse, crs=None)
    source = RasterSource(tmp_path, preset("sentinel2_l2a", ["B02", "B05"]), ("B02.tif", "B05.tif"))
    raster = read_raster(source, resampling="nearest")
    np.testing.assert_allclose(raster.values_CHW[1], np.kron(coarse, np.ones((2, 2))) / 1e4, rtol=1e-5)


def test_a_folder_without_a_band_names_it(tmp_path):
    write_bands(tmp_path)
    (tmp_path / "B05.tif").unlink()
    with pytest.raises(DataError, match=r"no file for B05 of sentinel2 L2A; expected names that end with the band"):
        read(tmp_path, S2)


def test_a_raster_is_read_on_its_own_grid_whatever_the_corner(tmp_path):
    write_bands(tmp_path, origin=(ORIGIN[0] + 7.5, ORIGIN[1] - 3.25))
    assert read(tmp_path, S2).transform[2] == ORIGIN[0] + 7.5


def test_what_cannot_be_a_source_is_named():
    with pytest.raises(DataError, match=r"cannot read a int; give a raster file"):
        read(3, S1)
