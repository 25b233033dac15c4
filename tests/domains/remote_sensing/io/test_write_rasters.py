"""Writing: georeference, tiles, overviews, colours; whole or absent."""

import numpy as np
import pytest
import rasterio
from rs_files import CRS, north_up, radar_db

from core.errors import DataError
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.io import MapWriter, read_raster, write_raster
from domains.remote_sensing.io.write import transform_of
from domains.remote_sensing.raster import Raster, Window
from domains.remote_sensing.sensors import preset

S1, S2 = preset("sentinel1_db"), preset("sentinel2_l2a")


def writer(path, shape=(1100, 900), **changes):
    given = dict(transform=north_up(), crs=CRS, dtype="uint8", nodata=255, names=("class",))  # noqa: C408
    return MapWriter(path, shape=shape, **{**given, **changes})


def test_a_map_is_a_cloud_optimised_geotiff_with_colours(tmp_path):
    path = tmp_path / "out" / "map.tif"
    labels = np.random.default_rng(0).integers(0, 9, (1100, 900)).astype(np.uint8)
    with writer(path, colours={0: (65, 155, 223), 6: (196, 40, 27)}, tags={"made_by": "test"}) as out:
        for top in range(0, 1100, 400):
            height = min(400, 1100 - top)
            out.write(labels[top : top + height], Window(top, 0, height, 900))
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.crs.to_epsg() == 32632
        assert tuple(file.transform)[:6] == north_up()
        assert file.nodata == 255
        assert file.block_shapes == [(512, 512)]
        assert file.overviews(1)
        assert file.colormap(1)[6] == (196, 40, 27, 255)
        assert file.descriptions == ("class",)
        assert file.tags()["made_by"] == "test"
        np.testing.assert_array_equal(file.read(1), labels)
    with rasterio.open(path, overview_level=0) as small:  # nearest: an overview holds no class that was not there
        assert set(np.unique(small.read(1))) <= set(range(9))
    assert [p.name for p in path.parent.iterdir()] == ["map.tif"]


def test_what_was_never_written_is_nodata(tmp_path):
    with writer(tmp_path / "map.tif") as out:
        out.write(np.ones((512, 512), np.uint8), Window(0, 0, 512, 512))
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.read(1)[600, 600] == 255
        assert file.read(1)[100, 100] == 1


def test_a_fault_leaves_what_was_there_before(tmp_path):
    path = tmp_path / "map.tif"
    path.write_bytes(b"the old map")

    def interrupted():
        with writer(path) as out:
            out.write(np.ones((512, 512), np.uint8), Window(0, 0, 512, 512))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match=r"half way"):
        interrupted()
    assert path.read_bytes() == b"the old map"
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]


@pytest.mark.parametrize(
    ("values", "window", "message"),
    [
        (np.ones((4, 4), np.float32), Window(0, 0, 4, 4), "values are float32, the raster holds uint8"),
        (np.ones((4, 5), np.uint8), Window(0, 0, 4, 4), r"values of shape \(1, 4, 5\) for 1 bands of 4 x 4"),
        (np.ones((4, 4), np.uint8), Window(1098, 0, 4, 4), "reaches beyond 1100 x 900"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, values, window, message):
    with pytest.raises(DataError, match=rf"map.tif: .*{message}"), writer(tmp_path / "map.tif") as out:
        out.write(values, window)
    assert not list(tmp_path.iterdir())


def test_a_colour_table_belongs_to_one_band_of_whole_numbers(tmp_path):
    with pytest.raises(DataError, match=r"a colour table belongs to one band of uint8 or uint16, not 1 of float32"):
        writer(tmp_path / "map.tif", dtype="float32", colours={0: (0, 0, 0)})


@pytest.mark.parametrize("spec", [S1, S2.as_values()], ids=["s1", "s2"])
def test_a_raster_survives_the_round_trip(tmp_path, spec):
    rng = np.random.default_rng(0)
    values = radar_db(40) if spec is S1 else rng.random((12, 40, 40), np.float32)
    values[:, :3] = np.nan
    raster = Raster(values, spec, north_up(), CRS, "2020-06-21")
    write_raster(tmp_path / "x.tif", raster)
    back = read_raster(RasterSource(tmp_path / "x.tif", spec))
    np.testing.assert_array_equal(back.values_CHW, values)
    assert (back.crs, back.transform, back.time, back.spec.names) == (CRS, raster.transform, "2020-06-21", spec.names)


def test_counts_are_written_as_their_spec_says(tmp_path):
    values = np.array([[[np.nan, 0.1234, 1.5]]], np.float32)
    raster = Raster(values, preset("sentinel2_l2a", ["B04"]), transform_of((500_000, 5_300_000), 10), CRS)
    write_raster(tmp_path / "x.tif", raster, dtype="uint16", nodata=0)
    with rasterio.open(tmp_path / "x.tif") as file:
        np.testing.assert_array_equal(file.read(1), [[0, 1234, 15000]])
    with pytest.raises(DataError, match=r"do not fit uint8; choose another type"):
        write_raster(tmp_path / "x.tif", raster, dtype="uint8", nodata=0)
    with pytest.raises(DataError, match=r"uint16 cannot hold nan; give a nodata number"):
        write_raster(tmp_path / "x.tif", raster, dtype="uint16")
