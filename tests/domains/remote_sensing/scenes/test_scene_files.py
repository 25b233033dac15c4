"""Simulated scenes on disk: the layout of NoLDO-S12, equal bytes, called simulated."""

import csv

import numpy as np
import pytest
import rasterio

from core.errors import ConfigError
from domains.remote_sensing.scenes.geotiff import GeoTiffWriter
from domains.remote_sensing.scenes.scene import simulate
from domains.remote_sensing.scenes.write import OPTICAL_FILES, write_dataset

PLACES = {"train": 2, "val": 1, "test": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, places=PLACES, seed=5, size=48)
    return folder


def rows(path):
    with open(path, newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def test_folders_and_names_are_those_of_noldo_s12(root):
    complete = rows(root / "dw_complete_ids.csv")
    assert [row["ids"] for row in complete] == ["0000000", "0000001", "0000002", "0000003"]
    for row in complete:
        for sub in ("sub1", "sub2", "sub3", "sub4"):
            assert (root / "dw_noisy_labels" / row["ids"] / row[sub] / "label.tif").is_file()
            assert {p.stem for p in (root / "s2a" / row["ids"] / row[sub]).iterdir()} == set(OPTICAL_FILES)
        assert len(list((root / "s1" / row["ids"]).glob("S1A_IW_GRDH_1SDV_*/VV.tif"))) == 4


def test_bands_have_their_own_resolution_and_share_corner_and_crs(root):
    folder = next((root / "s2a" / "0000001").iterdir())
    epsg = {row["id"]: int(row["epsg"]) for row in rows(root / "scenes.csv")}["0000001"]
    for name, pixel, size in (("B2", 10, 48), ("B8A", 20, 24), ("B1", 60, 8)):
        with rasterio.open(folder / f"{name}.tif") as file:
            assert (file.height, file.dtypes[0], file.nodata) == (size, "uint16", 0)
            assert file.crs.to_epsg() == epsg
            assert file.transform.a == -file.transform.e == pixel
            corner = (file.transform.c, file.transform.f)
            assert "SIMULATED" in file.tags()["TIFFTAG_IMAGEDESCRIPTION"]
        assert corner == tuple(simulate(np.random.SeedSequence([5, 0, 1]), size=48).place.origin)


def test_values_are_those_of_the_scene(root):
    scene = simulate(np.random.SeedSequence([5, 0, 1]), size=48)
    product = rows(root / "dw_complete_ids.csv")[1]["sub1"]
    with rasterio.open(root / "s2a" / "0000001" / product / "B4.tif") as file:
        counts = file.read(1)
    seen = np.isfinite(scene.reflectance_TCHW[0, 3])
    np.testing.assert_allclose(counts[seen] / 1e4, scene.reflectance_TCHW[0, 3][seen], atol=1.01e-4)
    assert (counts[~seen] == 0).all()
    radar = sorted((root / "s1" / "0000001").iterdir(), key=lambda p: p.name.split("_")[4])[0]
    with rasterio.open(radar / "VH.tif") as file:
        np.testing.assert_array_equal(file.read(1), scene.radar_TPHW[0, 1])
    with rasterio.open(root / "clean_labels" / "0000001" / product / "label.tif") as file:
        np.testing.assert_array_equal(file.read(1), scene.clean_THW[0])


def test_a_place_is_in_one_split_and_the_noise_is_counted(root):
    scenes = rows(root / "scenes.csv")
    split_of = {}
    for row in scenes:
        assert split_of.setdefault(row["id"], row["split"]) == row["split"]
    assert [list(split_of.values()).count(split) for split in PLACES] == [2, 1, 1]
    counts = np.array([[int(v) for k, v in row.items() if k != "true"] for row in rows(root / "noise.csv")])
    assert counts.sum() == 4 * 4 * 48 * 48
    wrong = np.mean([float(row["wrong_labels"]) for row in scenes])
    assert wrong == pytest.approx(1 - np.trace(counts) / counts.sum(), abs=1e-3)
    assert "SIMULATED" in (root / "README.txt").read_text()


def test_two_processes_write_the_same_bytes(root, tmp_path):
    write_dataset(tmp_path, places=PLACES, seed=5, size=48, workers=1)
    files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert all((root / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"give counts for train, val, test"):
        write_dataset(tmp_path, places={"trian": 1})


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_quick_writer_writes_what_gdal_reads(tmp_path, dtype):
    writer = GeoTiffWriter("EPSG:32733", description="SIMULATED")
    rng = np.random.default_rng(0)
    for i in range(3):
        array = rng.integers(0, 200, (17, 23)).astype(dtype)
        writer.write(tmp_path / f"{i}.tif", array, (20.0, 0.0, 5e5, 0.0, -20.0, 6e6), 0)
        with rasterio.open(tmp_path / f"{i}.tif") as file:
            np.testing.assert_array_equal(file.read(1), array)
            assert (file.crs.to_epsg(), file.nodata, file.transform.c) == (32733, 0, 5e5)
