"""Stored numbers, physical values, and values that contradict their unit."""

import numpy as np
import pytest

from core.errors import ConfigError, DataError
from domains.remote_sensing.sensors import preset, with_baseline
from domains.remote_sensing.units import check_values, cleaned, convert, from_power, to_power, values_of


def test_counts_become_reflectance_with_the_scale_and_nodata_is_missing():
    spec = preset("sentinel2_l2a", ["B02"])
    values = values_of(np.array([[[0, 1, 10_000, 15_000]]], np.uint16), spec)
    np.testing.assert_allclose(values, [[[np.nan, 1e-4, 1.0, 1.5]]], rtol=1e-6)


def test_missing_is_decided_before_the_offset_and_dark_pixels_stop_at_zero():
    spec = with_baseline(preset("sentinel2_l2a", ["B02"]), "04.00")
    values = cleaned(values_of(np.array([[[0, 500, 1000, 2000]]], np.uint16), spec), spec)
    np.testing.assert_allclose(values, [[[np.nan, 0.0, 0.0, 0.1]]], atol=1e-6)


def test_db_and_power_and_amplitude_convert_both_ways():
    db = np.array([-30.0, -12.5, 0.0, 10.0], np.float32)
    np.testing.assert_allclose(to_power(db, "db"), 10 ** (db / 10), rtol=1e-5)
    for unit in ("db", "power", "amplitude"):
        given = from_power(to_power(db, "db"), unit)
        np.testing.assert_allclose(from_power(to_power(given, unit), "db"), db, atol=1e-4)
    np.testing.assert_allclose(20 * np.log10(from_power(to_power(db, "db"), "amplitude")), db, atol=1e-4)


def test_power_of_zero_is_missing_not_minus_infinity():
    assert np.isnan(from_power(np.array([0.0, -1.0]), "db")).all()
    spec = preset("sentinel1_power")
    assert np.isnan(cleaned(np.full((2, 1, 1), -0.5, np.float32), spec)).all()


def test_units_that_are_no_backscatter_do_not_convert():
    with pytest.raises(ConfigError, match=r"'reflectance' is no unit of radar backscatter"):
        to_power(np.ones(1), "reflectance")


def test_bands_are_chosen_and_ordered_by_name():
    have, want = preset("eurosat_l1c").as_values(), preset("sentinel2_l1c").as_values()
    values = np.arange(13, dtype=np.float32)[:, None, None] * np.ones((13, 2, 2), np.float32)
    out = convert(values, have, want)
    assert out[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 12, 8, 9, 10, 11]  # B8A from last to ninth
    np.testing.assert_array_equal(convert(out, want, have), values)


def test_vv_and_vh_change_places_only_by_name():
    have, want = preset("sentinel1_db_vh_vv"), preset("sentinel1_db")
    values = np.array([-20.0, -10.0], np.float32)[:, None, None]
    assert convert(values, have, want)[:, 0, 0].tolist() == [-10.0, -20.0]


def test_power_becomes_db_for_a_model_that_reads_db():
    values = np.array([0.1, 0.01], np.float32)[:, None, None]
    np.testing.assert_allclose(
        convert(values, preset("sentinel1_power"), preset("sentinel1_db"))[:, 0, 0], [-10, -20], atol=1e-4
    )


def test_a_thirteen_band_model_refuses_twelve_bands_without_a_policy():
    have, want = preset("sentinel2_l2a").as_values(), preset("sentinel2_l1c").as_values()
    values = np.ones((12, 1, 1), np.float32)
    with pytest.raises(DataError, match=r"(?s)x.tif: bands are missing.*12 bands.*13 bands"):
        convert(values, have, want, where="x.tif")
    filled = convert(values, have, want, missing="nan")
    assert np.isnan(filled[10]).all()
    assert np.isfinite(np.delete(filled, 10, axis=0)).all()


def test_reflectance_does_not_become_db_and_a_wrong_count_of_bands_is_named():
    optical = preset("sentinel2_10m").as_values()
    with pytest.raises(DataError, match=r"the units|does not convert|other bands"):
        convert(np.ones((4, 1, 1), np.float32), optical, preset("sentinel1_db"))
    with pytest.raises(DataError, match=r"3 bands, but sentinel2 L2A was stated with 4: B02, B03, B04, B08"):
        convert(np.ones((3, 1, 1), np.float32), optical, optical)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("sentinel2_rgb", [500.0, 900.0, 1500.0], "these are counts; state a scale"),
        ("sentinel2_rgb", [-0.09, -0.08, -0.05], "the offset was taken off twice"),
        ("sentinel1_db", [0.01, 0.2, 0.05], "this is linear power"),
        ("sentinel1_power", [-12.0, -20.0, -15.0], "this is dB; state unit 'db'"),
        ("sentinel1_db", [-120.0, -130.0, -110.0], "which no scene has"),
    ],
)
def test_values_that_contradict_their_unit_are_refused(name, values, message):
    with pytest.raises(DataError, match=rf"scene.tif: .*{message}"):
        check_values(np.array(values, np.float32).reshape(1, 1, -1), preset(name), where="scene.tif")


@pytest.mark.parametrize(
    ("name", "values"),
    [("sentinel2_rgb", [0.02, 0.9, 1.4]), ("sentinel2_rgb", [0.0, 0.0, 0.0]), ("sentinel1_db", [-25.0, -12.0, 6.0]),
     ("sentinel1_power", [0.001, 3.0, 0.1]), ("sentinel1_db", [np.nan, np.nan, np.nan])],
)  # fmt: skip
def test_values_that_scenes_have_pass(name, values):
    check_values(np.array(values, np.float32).reshape(1, 1, -1), preset(name))
