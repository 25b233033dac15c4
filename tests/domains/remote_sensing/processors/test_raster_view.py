"""Views: a square of its own for each, in the stated range of areas, resized over valid pixels only."""

from __future__ import annotations

import numpy as np
import pytest
from rs_files import north_up, write_tif

from core.errors import ConfigError
from domains.remote_sensing.processors import RasterProcessor, RasterView
from domains.remote_sensing.processors.raster import MISSING
from domains.remote_sensing.processors.view import resized


def view(**options):
    return RasterView(**{"sensor": "rgb", "statistics": "clip_rgb", "side": 12, "area": (0.25, 0.5)} | options)


def ramp(rows=48, columns=48):
    """Three bands: the row, the column, a constant."""
    y, x = np.mgrid[:rows, :columns]
    return {"x": np.stack([100 * y, 100 * x, np.full_like(x, 700)]).astype(np.int16)}


def test_a_view_covers_a_share_of_the_area_in_the_stated_range():
    shares = []
    for seed in range(60):
        out = view(flip=False, rotate=False).augment(ramp(), np.random.default_rng(seed))["x"]
        assert out.shape == (3, 12, 12)
        step = np.diff(out[1, 0].astype(float)).mean() / 100  # source pixels between neighbours of the view
        shares.append((step * 12 / 48) ** 2)
        assert (out[2] == 700).all()
    assert min(shares) > 0.2
    assert max(shares) < 0.55
    assert np.ptp(shares) > 0.15


def test_two_views_of_a_record_are_two_squares_whatever_they_share():
    joint = view().augment_jointly(ramp(), np.random.default_rng(0))
    assert np.array_equal(joint["x"], ramp()["x"])
    one, two = (view().augment(joint, np.random.default_rng(seed))["x"] for seed in (1, 2))
    assert not np.array_equal(one, two)
    assert np.array_equal(one, view().augment(joint, np.random.default_rng(1))["x"])


def test_rows_stay_rows_where_captions_name_directions():
    for seed in range(10):
        out = view(flip=False, rotate=False).augment(ramp(), np.random.default_rng(seed))["x"]
        assert (np.diff(out[0].astype(int), axis=0) > 0).all()
        assert (np.diff(out[1].astype(int), axis=1) > 0).all()


def test_a_tile_that_is_not_square_gives_square_views():
    assert view(area=(1.0, 1.0)).augment(ramp(20, 48), np.random.default_rng(0))["x"].shape == (3, 12, 12)


@pytest.mark.parametrize("side", [6, 24])
def test_missing_pixels_leak_into_no_value(side):
    x = np.full((2, 12, 12), 500, np.int16)
    x[:, :, :4] = MISSING
    out = resized(x, side)
    assert out.shape == (2, side, side)
    assert set(np.unique(out)) == {MISSING, 500}
    assert (out[:, :, : side // 4] == MISSING).all()
    assert (out[:, :, side // 2 :] == 500).all()


def test_a_view_of_its_own_size_is_itself():
    x = ramp()["x"]
    assert resized(x, 48) is x


def test_evaluation_reads_the_whole_sample_as_any_raster(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 16, 16)).astype(np.uint8)
    path = write_tif(tmp_path / "a.tif", pixels, transform=north_up())
    whole = RasterProcessor(sensor="rgb", statistics="clip_rgb", size=(16, 16))
    assert np.array_equal(view(size=(16, 16)).load(path)["x"], whole.load(path)["x"])
    local = view(size=(16, 16), side=4, area=(0.05, 0.4), of="rgb")
    assert local.fingerprint() == view(size=(16, 16)).fingerprint()  # so that all views share one cached sample


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"area": (0.0, 0.5)}, r"area: is \[0.0, 0.5\]; give two shares"),
        ({"area": (0.6, 0.5)}, r"0 < smallest <= largest <= 1"),
        ({"side": 0}, r"side: is 0; give the rows and columns"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        view(**options)
