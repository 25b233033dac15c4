"""Rasters with a known error of position, through the command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from moved import ORIGIN, ground, moving, reference, shown
from rasterio.warp import transform as reproject
from rs_files import write_tif

from core.errors import DataError
from domains.remote_sensing.coregister.__main__ import main
from domains.remote_sensing.coregister.estimate import align
from domains.remote_sensing.coregister.geo import Ground, in_crs
from domains.remote_sensing.coregister.rasters import SceneRaster
from domains.remote_sensing.coregister.voters import PhaseVoter
from domains.remote_sensing.coregister.windows import Settings
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.registration.fit import NoConsensusError

SIDE, MARGIN = 464, 40
SMALL = ("--window", 128, "--windows", 9, "--levels", 1, "--threads", 1)


def run(moved: Path, fixed: Path, out: Path, *more: object) -> int:
    return main([str(word) for word in (moved, "--to", fixed, "--out", out, *SMALL, *more)])


@pytest.fixture(scope="module")
def texture():
    return ground(SIDE)


@pytest.fixture(scope="module")
def registered(texture, tmp_path_factory):
    """Rasters 40 m and -30 m from where they claim, corrected by the baseline."""
    folder = tmp_path_factory.mktemp("rasters")
    fixed, moved = reference(folder, texture), moving(folder, texture, (40.0, -30.0), shape=(330, 330))
    assert run(moved, fixed, folder / "out.tif", "--model", "shift") == 0
    return folder


def test_the_shift_is_found_in_pixels_and_metres(registered):
    found = json.loads((registered / "out.json").read_text())
    assert found["east_m"] == pytest.approx(-40, abs=2)
    assert found["north_m"] == pytest.approx(30, abs=2)
    assert found["shift_px"] == pytest.approx([-4, -3], abs=0.2)  # rows count southwards
    assert found["shift_m"] == pytest.approx(50, abs=2)
    assert found["inliers"] == found["matches"] == found["windows"] == 9
    assert found["rms_m"] == pytest.approx(10 * found["rms_px"])
    assert found["rms_px"] < 0.3
    assert found["probe_px"] < 0.3
    assert found["method"] == "phase_correlation"


def test_the_output_lies_on_the_reference_and_keeps_type_nodata_and_names(registered):
    with rasterio.open(registered / "out.tif") as out, rasterio.open(registered / "reference.tif") as fixed:
        assert (out.crs, out.transform, out.shape) == (fixed.crs, fixed.transform, fixed.shape)
        assert (out.dtypes, out.nodata, out.descriptions) == (("uint16",), 0, ("B04",))
        values, truth = out.read(1).astype(float), 3000 - 600 * fixed.read(1)
    known = values > 0  # the moving raster holds the first 330 rows and columns of this ground, and no more
    assert known[1:329, 1:329].all()
    assert not known[332:].any()
    assert not known[:, 332:].any()
    difference = np.abs(values - truth)[8:320, 8:320]
    assert np.median(difference) < 15  # of a deviation of 600
    assert difference.max() < 150


def test_a_quick_look_is_left(registered):
    assert (registered / "out.png").read_bytes().startswith(b"\x89PNG")


def test_another_crs_and_pixel_size_are_handled_before(texture, tmp_path):
    fixed = reference(tmp_path, texture)
    # the same ground in the neighbouring zone, 20 m pixels, claimed 60 m too far east there
    inner = SIDE - 2 * MARGIN
    corners = reproject("EPSG:32632", "EPSG:32633", [ORIGIN[0], ORIGIN[0] + 10 * inner], [ORIGIN[1]] * 2)
    left, top = min(corners[0]) - 200, max(corners[1]) + 400
    side = 240
    rows, columns = np.mgrid[:side, :side]
    x, y = left + 20 * (columns + 0.5), top - 20 * (rows + 0.5)
    east, north = (np.array(v).reshape(side, side) for v in reproject("EPSG:32633", "EPSG:32632", x.ravel(), y.ravel()))
    place = np.stack([(east - ORIGIN[0]) / 10 - 0.5 + MARGIN, (ORIGIN[1] - north) / 10 - 0.5 + MARGIN])
    from scipy.ndimage import gaussian_filter, map_coordinates

    values = map_coordinates(gaussian_filter(texture, 1), place[::-1], order=3, cval=np.nan).astype(np.float32)
    moved = write_tif(
        tmp_path / "moved.tif", values, transform=(20, 0, left + 60, 0, -20, top), crs="EPSG:32633", nodata=float("nan")
    )
    assert run(moved, fixed, tmp_path / "out.tif", "--window", 96, "--model", "shift") == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["shift_m"] == pytest.approx(60, abs=4)
    assert found["rms_m"] == pytest.approx(10 * found["rms_px"], rel=1e-6)
    with rasterio.open(tmp_path / "out.tif") as out, rasterio.open(fixed) as same:
        assert (out.crs, out.shape, out.dtypes) == (same.crs, same.shape, ("float32",))
        assert np.isnan(out.nodata)


def test_unrelated_rasters_are_refused_and_nothing_is_written(texture, tmp_path, capsys):
    fixed, moved = reference(tmp_path, texture), moving(tmp_path, ground(SIDE, seed=9), (0.0, 0.0))
    assert run(moved, fixed, tmp_path / "out.tif", "--model", "shift") == 1
    assert "moving.tif and reference.tif" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


class Stubborn:
    """A matcher that has learned that pairs are aligned, and looks at neither."""

    name = "stubborn"

    def __call__(self, moving_SS, fixed_SS, moving_known_SS, fixed_known_SS):
        points = np.random.default_rng(0).uniform(0, 128, (20, 2))
        return points, points


def test_matches_that_do_not_follow_the_content_are_found_out(texture, tmp_path):
    fixed, moved = (SceneRaster.of(p) for p in (reference(tmp_path, texture), moving(tmp_path, texture, (40.0, 0.0))))
    with pytest.raises(NoConsensusError, match=r"do not follow the content: .* missed by 6\.5 px"):
        align(moved, fixed, Stubborn(), Settings(window=128, windows=4, levels=(1.0,)), tell=lambda text: None)


def test_an_affine_error_is_undone(texture, tmp_path):
    true_33 = np.array([[1.004, 0.003, 3.0], [-0.002, 0.997, -5.0], [0, 0, 1]])  # reference pixels to the other's
    fixed = reference(tmp_path, texture)
    shape = (SIDE - 2 * MARGIN,) * 2
    back = np.array([[1, 0, MARGIN], [0, 1, MARGIN], [0, 0, 1]]) @ np.linalg.inv(true_33)
    picture = shown(texture, back, shape).astype(np.float32)
    moved = write_tif(tmp_path / "moved.tif", picture, transform=(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), nodata=-9999.0)
    rasters = [SceneRaster.of(path) for path in (moved, fixed)]
    found = align(*rasters, PhaseVoter(), Settings(window=96, windows=25, levels=(1.0,)), tell=lambda text: None)
    expected = in_crs(np.linalg.inv(true_33), rasters[1].header.transform)
    corners = np.array([[ORIGIN[0], ORIGIN[1], 1], [ORIGIN[0] + 3840, ORIGIN[1] - 3840, 1]]).T
    difference = (found.correction_33 @ corners - expected @ corners)[:2]
    assert np.abs(difference).max() < 4.0  # metres, of pixels of 10


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"transform": (10, 0, 700_000, 0, -10, 5_300_000)}, 1, "do not overlap"),
        ({"crs": None}, 1, "states no CRS"),
        ({"--moving_bands": "B99"}, 2, r"has no band 'B99'; it has B04"),
        ({"--window": 100}, 2, "multiple of 32"),
        ({"--out": "reference.tif"}, 2, "one of the inputs"),
        ({"--out": "map.png"}, 2, "ends with .tif"),
        ({"--checkpoint": "absent"}, 1, "no such folder"),
    ],
)
def test_mistakes_are_named(change, code, message, texture, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fixed = reference(tmp_path, texture)
    options = {k: v for k, v in change.items() if k.startswith("--")}
    rest = {"transform": (10, 0, *ORIGIN[:1], 0, -10, ORIGIN[1])} | {
        k: v for k, v in change.items() if k not in options
    }
    moved = write_tif(tmp_path / "moved.tif", np.full((384, 384), 7, np.uint16), names=["B04"], **rest)
    out = options.pop("--out", "out.tif")
    assert run(moved, fixed, Path(out), *(word for pair in options.items() for word in pair)) == code
    error = capsys.readouterr().err
    assert __import__("re").search(message, error), error


def test_help_needs_no_torch():
    import subprocess

    code = (
        "import sys; from domains.remote_sensing.coregister.__main__ import _parser; _parser().format_help(); "
        "import domains.remote_sensing.coregister; assert not {'torch', 'numpy', 'rasterio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_degrees_have_metres_at_their_latitude():
    # WGS 84 at 60 degrees north: a degree of longitude is 55,800 m, of latitude 111,412 m (NGA tables)
    found = Ground.of(Grid((10, 10), (1e-4, 0, 10.0, 0, -1e-4, 60.0005), "EPSG:4326"))
    assert found.x == pytest.approx(55_800, abs=5)
    assert found.y == pytest.approx(111_412, abs=5)
    with pytest.raises(DataError, match="states no CRS"):
        Ground.of(Grid((10, 10), (1, 0, 0, 0, -1, 0), ""))


def test_a_correction_in_pixels_is_one_of_the_crs():
    shift = np.array([[1, 0, 2], [0, 1, 3], [0, 0, 1.0]])
    found = in_crs(shift, (10, 0, 500_000, 0, -10, 5_300_000))
    np.testing.assert_allclose(found, [[1, 0, 20], [0, 1, -30], [0, 0, 1]], atol=1e-6)
