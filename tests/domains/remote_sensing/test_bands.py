"""BandSpec: what is stated is compared, and a mismatch lists both orders."""

import json

import pytest

from core.errors import ConfigError, DataError
from domains.remote_sensing.bands import Band, BandSpec, canonical_name
from domains.remote_sensing.sensors import PRESETS, preset, with_baseline


@pytest.mark.parametrize(
    ("written", "meant"),
    [("b2", "B02"), ("B2", "B02"), ("B02", "B02"), ("B8a", "B8A"), ("B08A", "B8A"), ("B12", "B12"), ("vh", "VH"),
     ("elevation", "elevation"), ("SR_B1", "SR_B1")],
)  # fmt: skip
def test_band_names_have_one_spelling(written, meant):
    assert canonical_name(written) == meant


def test_the_canonical_order_of_sentinel_2_puts_b8a_after_b08():
    assert preset("sentinel2_l1c").names == (
        "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")  # fmt: skip
    assert preset("sentinel2_l2a").names == tuple(n for n in preset("sentinel2_l1c").names if n != "B10")
    assert preset("eurosat_l1c").names[-1] == "B8A"
    assert preset("eurosat_l1c").names[8] == "B09"


def test_wavelengths_and_distances_travel_with_the_bands():
    chosen = preset("sentinel2_l2a", ["B8A", "b2"])
    assert chosen.wavelengths_um == (0.865, 0.492)
    assert [band.gsd for band in chosen.bands] == [20, 10]
    assert chosen.gsd == 10


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_spec_survives_json(name):
    spec = PRESETS[name]
    assert BandSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_another_order_is_an_error_that_lists_both():
    data, model = preset("sentinel1_db_vh_vv"), preset("sentinel1_db")
    with pytest.raises(DataError, match=r"(?s)scene.tif: the order differs.*the data has.*VH, VV.*wanted are.*VV, VH"):
        data.require_order(model, where="scene.tif")
    model.require_order(model)


def test_other_bands_another_sensor_and_another_unit_are_told_apart():
    twelve, thirteen = preset("sentinel2_l2a").as_values(), preset("sentinel2_l1c").as_values()
    with pytest.raises(DataError, match=r"the bands differ.*\n.*12 bands.*\n.*13 bands"):
        twelve.require_order(thirteen)
    with pytest.raises(DataError, match=r"the sensors differ"):
        twelve.require_order(preset("sentinel1_db"))
    with pytest.raises(DataError, match=r"the units differ"):
        preset("sentinel1_power").require_order(preset("sentinel1_db"))


def test_positions_find_bands_by_name_and_say_which_are_not_there():
    have, want = preset("sentinel2_l2a"), preset("sentinel2_l1c")
    assert have.positions(want) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, None, 10, 11]


def test_an_unknown_band_or_preset_names_the_nearest():
    with pytest.raises(ConfigError, match=r"sentinel1 GRD has no band 'VX'.*it has VV, VH"):
        preset("sentinel1_db", ["VX"])
    with pytest.raises(ConfigError, match=r"no preset 'sentinel2_l2'; did you mean 'sentinel2_l"):
        preset("sentinel2_l2")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: BandSpec("s", (), "db"), "none is named"),
        (lambda: BandSpec("s", (Band("B2"), Band("B02")), "db"), "B02 is named twice"),
        (lambda: BandSpec("s", (Band("a"),), "dB"), "unit is 'dB'; valid: amplitude, class, db,"),
        (lambda: BandSpec("s", (Band("a"),), "db", scale=0), "scale is 0"),
        (
            lambda: BandSpec.from_dict({"sensor": "s", "unit": "db", "band": []}),
            "unknown key 'band'; did you mean 'bands'",
        ),
        (lambda: BandSpec.from_dict({"sensor": "s", "unit": "db"}), "it needs sensor, unit and bands"),
    ],
)
def test_a_spec_that_says_nothing_usable_is_refused(made, message):
    with pytest.raises(ConfigError, match=message):
        made()


@pytest.mark.parametrize(
    ("baseline", "offset"),
    [("02.14", 0.0), ("03.01", 0.0), ("04.00", -0.1), ("05.10", -0.1), ("N0500", -0.1), ("N0213", 0.0)],
)
def test_the_offset_of_sentinel_2_follows_the_processing_baseline(baseline, offset):
    assert with_baseline(preset("sentinel2_l2a"), baseline).offset == pytest.approx(offset)


def test_harmonised_collections_have_no_offset_and_other_sensors_no_baseline():
    assert with_baseline(preset("sentinel2_l2a"), "05.10", harmonised=True).offset == 0
    with pytest.raises(ConfigError, match=r"Sentinel-2 has one, sentinel1 GRD does not"):
        with_baseline(preset("sentinel1_db"), "05.10")
    with pytest.raises(ConfigError, match=r"is 'new'; expected for instance 04.00"):
        with_baseline(preset("sentinel2_l2a"), "new")
