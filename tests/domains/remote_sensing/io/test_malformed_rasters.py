"""Rasters that are not as they should be: each a clear error, or what the reader's docstring says."""

import struct

import numpy as np
import pytest
from rasterio.transform import Affine
from rs_files import north_up, radar_db, write_bands, write_tif

from core.errors import DataError
from domains.remote_sensing.data.source import LabelSource, RasterSource
from domains.remote_sensing.io import read, read_raster
from domains.remote_sensing.io.labels import onto_grid, read_label_map
from domains.remote_sensing.raster import Window
from domains.remote_sensing.sensors import preset

S1, S2 = preset("sentinel1_db"), preset("sentinel2_l2a")


@pytest.fixture
def tif(tmp_path):
    return write_tif(tmp_path / "x.tif", radar_db(64), transform=north_up())


def fault_of(path):
    """Text of the DataError that reading ends in, "" when it does not."""
    try:
        read(path, S1)
    except DataError as err:
        return str(err)
    return ""


def test_a_file_cut_anywhere_is_refused_or_whole(tif, tmp_path):
    content, whole = tif.read_bytes(), read(tif, S1).values_CHW
    refused = 0
    for length in np.linspace(0, len(content) - 1, 60).astype(int):
        cut = tmp_path / "cut.tif"
        cut.write_bytes(content[:length])
        fault = fault_of(cut)
        if fault:
            assert str(cut) in fault
            refused += 1
        else:
            np.testing.assert_array_equal(read(cut, S1).values_CHW, whole)
    assert refused >= 59


def test_a_damaged_byte_never_ends_in_another_kind_of_error(tif, tmp_path):
    content, rng = tif.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        mutant = bytearray(content)
        mutant[int(rng.integers(0, min(600, len(mutant))))] = int(rng.integers(256))
        path = tmp_path / "mutant.tif"
        path.write_bytes(mutant)
        assert str(path) in (fault_of(path) or str(path))


def test_what_is_no_raster_says_so(tmp_path):
    (tmp_path / "x.tif").write_text("not a raster")
    with pytest.raises(DataError, match=r"x.tif: not a readable raster .*copy it again or leave it out"):
        read(tmp_path / "x.tif", S1)
    with pytest.raises(DataError, match=r"there is no such file"):
        read(tmp_path / "y.tif", S1)
    (tmp_path / "x.hdf").write_text("")
    with pytest.raises(DataError, match=r"rasters are read from .tif, .tiff"):
        read(tmp_path / "x.hdf", S1)


def test_a_vrt_that_calls_itself_tif_opens_no_other_file(tif, tmp_path):
    vrt = f"""<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Float32" band="1"><SimpleSource>
    <SourceFilename>{tif}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""
    (tmp_path / "trap.tif").write_text(vrt)
    with pytest.raises(DataError, match=r"trap.tif: not a readable raster"):
        read(tmp_path / "trap.tif", S1)


def test_no_crs_is_read_unless_one_is_needed(tmp_path):
    path = write_tif(tmp_path / "x.tif", radar_db(8), crs=None, transform=north_up())
    raster = read(path, S1)
    assert raster.crs == ""
    assert np.isnan(raster.lonlat()).all()
    with pytest.raises(DataError, match=r"x.tif: states no CRS; assign the right one"):
        read(path, S1, require_crs=True)


@pytest.mark.parametrize(
    ("crs", "transform", "message"),
    [
        ("EPSG:4326", north_up(), "no place in EPSG:4326 .it counts in degrees"),
        ("EPSG:32632", (1e-4, 0.0, 11.5, 0.0, -1e-4, 48.1), "no place in EPSG:32632 .UTM counts in metres"),
        ("EPSG:32632", north_up(origin=(7e6, 5e6)), "eastings lie between 100,000 and 900,000"),
    ],
)
def test_a_crs_that_the_coordinates_contradict_is_refused(tmp_path, crs, transform, message):
    path = write_tif(tmp_path / "x.tif", radar_db(8), crs=crs, transform=transform)
    with pytest.raises(DataError, match=rf"x.tif: its centre lies at .*{message}"):
        read(path, S1)


def test_bands_in_two_crs_are_refused(tmp_path):
    write_bands(tmp_path)
    write_tif(tmp_path / "B05.tif", np.full((12, 12), 500, np.uint16), transform=north_up(20), crs="EPSG:32633")
    with pytest.raises(DataError, match=r"B05.tif: its CRS is EPSG:32633, that of B01.tif is EPSG:32632"):
        read(tmp_path, S2)


def test_bands_of_another_place_are_refused(tmp_path):
    write_bands(tmp_path)
    write_tif(tmp_path / "B05.tif", np.full((12, 12), 500, np.uint16), transform=north_up(20, (600_000, 5_300_000)))
    with pytest.raises(DataError, match=r"B05.tif: it does not cover the ground of the other bands"):
        read(tmp_path, S2)


def test_a_turned_raster_is_read_as_it_lies_and_keeps_its_transform(tmp_path):
    turned = (Affine.translation(5e5, 53e5) @ Affine.rotation(20) @ Affine.scale(10, -10))[:6]
    db = radar_db(8)
    raster = read(write_tif(tmp_path / "x.tif", db, transform=turned), S1)
    np.testing.assert_array_equal(raster.values_CHW, db)
    assert raster.transform == pytest.approx(turned)
    assert raster.pixel == pytest.approx((10, 10))
    part = read_raster(RasterSource(tmp_path / "x.tif", S1), window=Window(2, 3, 4, 4))
    np.testing.assert_array_equal(part.values_CHW, db[:, 2:6, 3:7])
    assert part.transform == pytest.approx((Affine(*turned) @ Affine.translation(3, 2))[:6])


def test_grids_turned_against_each_other_are_refused(tmp_path):
    write_bands(tmp_path)
    turned = (Affine.translation(5e5, 53e5) @ Affine.rotation(20) @ Affine.scale(20, -20))[:6]
    write_tif(tmp_path / "B05.tif", np.full((12, 12), 500, np.uint16), transform=turned)
    with pytest.raises(DataError, match=r"B05.tif: its grid is turned against the other's"):
        read(tmp_path, S2)


def test_a_south_up_raster_stays_south_up(tmp_path):
    south_up = (10.0, 0.0, 500_000.0, 0.0, 10.0, 5_300_000.0)
    db = radar_db(8)
    raster = read(write_tif(tmp_path / "x.tif", db, transform=south_up), S1)
    np.testing.assert_array_equal(raster.values_CHW, db)
    assert raster.transform == south_up


def test_a_raster_without_any_data_is_refused_but_a_window_may_be_empty(tmp_path):
    db = radar_db(16)
    db[:, :8] = np.nan
    path = write_tif(tmp_path / "half.tif", db, transform=north_up())
    window = read_raster(RasterSource(path, S1), window=Window(0, 0, 8, 8), allow_empty=True)
    assert not window.valid_HW.any()
    empty = write_tif(tmp_path / "empty.tif", np.zeros((12, 4, 4), np.uint16), transform=north_up(), nodata=0)
    with pytest.raises(DataError, match=r"empty.tif: every pixel is marked as missing"):
        read(empty, S2)


def test_a_header_without_bands_is_refused(tmp_path):
    content = bytearray(write_tif(tmp_path / "x.tif", radar_db(8)[:1], transform=north_up()).read_bytes())
    (ifd,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[ifd : ifd + 2])
    for i in range(entries):
        at = ifd + 2 + 12 * i
        if struct.unpack("<H", content[at : at + 2])[0] == 277:  # SamplesPerPixel
            content[at + 8 : at + 10] = struct.pack("<H", 0)
    (tmp_path / "x.tif").write_bytes(content)
    with pytest.raises(DataError, match=r"x.tif: "):
        read(tmp_path / "x.tif", preset("sentinel1_db", ["VV"]))


def test_a_header_that_claims_too_much_is_refused_before_any_allocation(tmp_path):
    path = write_tif(
        tmp_path / "x.tif",
        np.ones((1, 16, 16), np.uint8),
        transform=north_up(),
        tiled=True,
        blockxsize=16,
        blockysize=16,
    )
    content = bytearray(path.read_bytes())
    (ifd,) = struct.unpack("<I", content[4:8])
    for i in range(struct.unpack("<H", content[ifd : ifd + 2])[0]):
        at = ifd + 2 + 12 * i
        tag, kind = struct.unpack("<HH", content[at : at + 4])
        if tag in (256, 257):  # width, height
            content[at + 8 : at + 12] = struct.pack("<I" if kind == 4 else "<H", 65_000).ljust(4, b"\0")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x.tif: "):
        read(path, preset("sentinel1_db", ["VV"]))


def test_labels_outside_their_classes_and_fractions_are_refused(tmp_path):
    path = write_tif(tmp_path / "l.tif", np.array([[0, 9], [255, 3]], np.uint8), transform=north_up())
    with pytest.raises(DataError, match=r"l.tif: label 9 is outside 0 to 8; map it to a class"):
        read_label_map(LabelSource(path, classes=9))
    np.testing.assert_array_equal(read_label_map(path).labels_HW, [[0, 9], [-1, 3]])
    np.testing.assert_array_equal(
        read_label_map(LabelSource(path, mapping=((9, 1), (0, 0)))).labels_HW, [[0, 1], [-1, -1]]
    )
    half = write_tif(tmp_path / "h.tif", np.array([[0.5, 1.0]], np.float32), transform=north_up())
    with pytest.raises(DataError, match=r"h.tif: its values are not whole numbers"):
        read_label_map(half)
    with pytest.raises(DataError, match=r"it has 1 bands, the labels are said to be in band 2"):
        read_label_map(LabelSource(path, band=2))


def test_labels_come_onto_the_grid_of_their_raster(tmp_path):
    labels = read_label_map(write_tif(tmp_path / "l.tif", np.array([[1, 2], [3, 4]], np.uint8), transform=north_up(20)))
    np.testing.assert_array_equal(
        onto_grid(labels, north_up(10), (4, 4), "EPSG:32632"), np.kron([[1, 2], [3, 4]], np.ones((2, 2)))
    )
    beyond = onto_grid(labels, north_up(10, (500_020.0, 5_300_000.0)), (4, 4), "EPSG:32632")
    np.testing.assert_array_equal(beyond[:, 2:], -1)
    with pytest.raises(DataError, match=r"the labels are in EPSG:32632, the raster in EPSG:32633"):
        onto_grid(labels, north_up(10), (4, 4), "EPSG:32633")
    with pytest.raises(DataError, match=r"do not lie on the ground of the raster"):
        onto_grid(labels, north_up(10, (600_000.0, 5_300_000.0)), (4, 4), "EPSG:32632")
