"""Simulated scenes obey what they claim: determinism, speckle, shadows, seasons, label noise, true captions."""

import numpy as np
import pytest

from core.errors import ConfigError
from domains.remote_sensing.scenes import CLASSES, simulate
from domains.remote_sensing.scenes.captions import captions
from domains.remote_sensing.scenes.classes import BUILT, CROPS, SNOW, TREES, WATER
from domains.remote_sensing.scenes.cover import PIXEL, sample_cover
from domains.remote_sensing.scenes.facts import facts_of
from domains.remote_sensing.scenes.fields import at_share, blurred, fractal
from domains.remote_sensing.scenes.places import CLIMATES, SNAP, sample_place, utm
from domains.remote_sensing.scenes.radar import LOOKS, _geometry, render_radar
from domains.remote_sensing.scenes.seasons import sample_seasons
from domains.remote_sensing.scenes.weak_labels import CONFUSED, transitions, weak_labels

SCENES = [simulate(seed, size=48) for seed in range(24)]


def test_equal_seeds_give_equal_scenes_and_others_do_not():
    one, two, other = simulate(3, size=48), simulate(3, size=48), simulate(4, size=48)
    for name in ("reflectance_TCHW", "radar_TPHW", "clean_THW", "noisy_THW"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.captions == two.captions
    assert (one.radar_TPHW != other.radar_TPHW).any()


def test_shapes_types_and_ranges():
    for scene in SCENES:
        assert scene.reflectance_TCHW.shape == (4, 12, 48, 48)
        assert scene.radar_TPHW.shape == (4, 2, 48, 48)
        assert scene.reflectance_TCHW.dtype == scene.radar_TPHW.dtype == np.float32
        assert set(np.unique(scene.clean_THW)) | set(np.unique(scene.noisy_THW)) <= set(range(9))
        known = scene.reflectance_TCHW[np.isfinite(scene.reflectance_TCHW)]
        assert known.min() > 0
        assert known.max() < 2.5
        vv, vh = (plane[np.isfinite(plane)] for plane in scene.radar_TPHW.swapaxes(0, 1))
        assert -32 < np.median(vh) < np.median(vv) < 0


def test_places_lie_in_their_zone_on_the_grid_of_the_60_m_bands():
    for seed in range(40):
        place = sample_place(np.random.default_rng(seed))
        low, high = place.climate.longitude
        assert low <= place.longitude <= high
        assert place.epsg == (32600 if place.latitude > 0 else 32700) + int((place.longitude + 180) // 6) + 1
        assert 100_000 < place.origin[0] < 900_000
        assert all(value % SNAP == 0 for value in place.origin)
        assert place.seasons[0] == ("winter" if place.latitude > 0 else "summer")
        assert all(abs(a - b) <= 6 for a, b in zip(place.days, place.radar_days, strict=True))
    assert utm(9.0, 0.0)[1] == pytest.approx(500_000, abs=1e-3)


def test_the_sun_stands_higher_in_summer():
    for seed in range(10):
        place = sample_place(np.random.default_rng(seed), CLIMATES[0])
        elevation = dict(zip(place.seasons, (high for high, _ in place.sun), strict=True))
        assert min(elevation["summer"], elevation["spring"]) > elevation["winter"]
        assert all(90 < azimuth < 180 for _, azimuth in place.sun)  # a morning pass in the north


def test_speckle_has_the_stated_number_of_looks():
    place = sample_place(np.random.default_rng(0), CLIMATES[5])
    cover = sample_cover(np.random.default_rng(0), place, 48)
    seasons = sample_seasons(np.random.default_rng(0), place, cover)
    many = np.stack([render_radar(_replay(i), place, cover, seasons) for i in range(120)])
    power = 10 ** (many[:, 0, 0] / 10)
    looks = power.mean(axis=0) ** 2 / power.var(axis=0)
    assert np.median(looks) == pytest.approx(LOOKS, rel=0.12)


class _replay(np.random.Generator):  # noqa: N801
    """Draws the same surface every time, and another speckle."""

    def __init__(self, number: int) -> None:
        super().__init__(np.random.PCG64(7))
        self._speckle = np.random.default_rng(number)

    def standard_gamma(self, *args, **kwargs):
        return self._speckle.standard_gamma(*args, **kwargs)


@pytest.mark.parametrize("ascending", [True, False])
def test_radar_shadow_falls_away_from_the_radar_with_the_length_that_geometry_gives(ascending):
    import dataclasses

    place = dataclasses.replace(sample_place(np.random.default_rng(0)), ascending=ascending, incidence=40.0)
    ground = np.zeros((3, 60), np.float32)
    tower = ground.copy()
    tower[:, 30] = 100.0
    _, lit = _geometry(place, tower, ground)
    dark = np.flatnonzero(~lit[1])
    reach = int(100 * np.tan(np.radians(40)) / PIXEL)  # metres of shadow = height x tan(incidence)
    assert len(dark) == reach
    assert (dark > 30).all() if ascending else (dark < 30).all()
    assert abs(np.abs(dark - 30).max() - reach) <= 1


def test_slopes_towards_the_radar_are_brighter():
    place = sample_place(np.random.default_rng(0))
    ramp = np.tile(np.arange(40, dtype=np.float32) * 3, (4, 1))  # rises to the east
    factor, _ = _geometry(place, ramp, ramp)
    back, _ = _geometry(place, ramp[:, ::-1], ramp[:, ::-1])
    assert (factor.mean() > back.mean()) == place.ascending


def test_clouds_hide_the_ground_from_the_optical_sensor_alone():
    bright, dark = [], []
    for scene in SCENES:
        for t in range(4):
            blue = scene.reflectance_TCHW[t, 1]
            clear, cloud, shadow = ((scene.cloud_THW[t] == k) & np.isfinite(blue) & (scene.clean_THW[t] != SNOW)
                                    for k in (0, 1, 2))  # fmt: skip
            if min(clear.sum(), cloud.sum()) > 50:
                bright.append(blue[cloud].mean() / blue[clear].mean())
            if min(clear.sum(), shadow.sum()) > 50:
                dark.append(scene.reflectance_TCHW[t, 7][shadow].mean() / scene.reflectance_TCHW[t, 7][clear].mean())
    assert min(bright) > 2
    assert np.median(dark) < 0.8


def test_green_fields_are_green_and_snow_is_white():
    for scene in SCENES:
        red, infrared = scene.reflectance_TCHW[:, 3], scene.reflectance_TCHW[:, 7]
        with np.errstate(invalid="ignore"):
            ndvi = (infrared - red) / (infrared + red)
        for t, facts in enumerate(scene.facts):
            clear = (scene.cloud_THW[t] == 0) & np.isfinite(red[t])
            for state, low, high in (("green", 0.4, 1.0), ("harvested", 0.0, 0.5), ("bare", 0.0, 0.5)):
                fields = clear & (scene.clean_THW[t] == CROPS)
                if facts.fields == state and fields.sum() > 50:
                    assert low < np.median(ndvi[t][fields]) < high
            snow = clear & (scene.clean_THW[t] == SNOW)
            if snow.sum() > 50:
                assert np.median(red[t][snow]) > 0.35


def test_water_is_dark_to_the_radar_and_houses_are_bright():
    water, built, other = [], [], []
    for scene in SCENES:
        for kind, rows in ((WATER, water), (BUILT, built), (TREES, other)):
            seen = (scene.clean_THW == kind) & np.isfinite(scene.radar_TPHW).all(axis=1)
            if seen.sum() > 100:
                rows.append(np.median(scene.radar_TPHW[:, 0][seen]))
    assert np.mean(water) + 6 < np.mean(other) < np.mean(built)


def test_label_noise_is_known_structured_and_hits_the_pairs_that_are_stated():
    counts = sum(transitions(scene.noisy_THW, scene.clean_THW) for scene in SCENES)
    rate = 1 - np.trace(counts) / counts.sum()
    assert 0.2 < rate < 0.4
    for kind, others in CONFUSED.items():
        row = counts[kind] / max(1, counts[kind].sum())
        if counts[kind].sum() > 5000:
            for other, share in others:
                assert row[other] > 0.4 * share, f"{CLASSES[kind]} as {CLASSES[other]}"
    wrong = np.stack([scene.noisy_THW != scene.clean_THW for scene in SCENES])
    both = (wrong[..., 1:] & wrong[..., :-1]).mean()
    assert both > 1.5 * wrong.mean() ** 2  # faults come in blobs


def test_the_noise_differs_from_date_to_date_and_is_drawn_from_its_generator():
    clean, clear = np.full((4, 48, 48), TREES, np.uint8), np.zeros((4, 48, 48), np.uint8)
    noisy = weak_labels(np.random.default_rng(0), clean, clear)
    np.testing.assert_array_equal(noisy, weak_labels(np.random.default_rng(0), clean, clear))
    assert len({plane.tobytes() for plane in noisy}) == 4


def test_facts_are_counted_on_the_true_map():
    for scene in SCENES:
        for t, facts in enumerate(scene.facts):
            shares = np.bincount(scene.clean_THW[t].ravel(), minlength=9) / scene.clean_THW[t].size
            np.testing.assert_allclose(facts.shares, shares)
            assert facts.labels == {name: int(share >= 0.05) for name, share in zip(CLASSES, shares, strict=True)}
            assert facts.snow <= (shares[SNOW] > 0.05)
            assert facts.flood <= (shares[WATER] > 0)
            assert bool(facts.river or facts.lake or facts.coast) <= (shares[WATER] > 0)


WORDS = {"forest": TREES, "woodland": TREES, "cropland": CROPS, "farm fields": CROPS, "Wald": TREES, "Ackerland": CROPS,
         "built-up": BUILT, "urban": BUILT, "bebaute": BUILT}  # fmt: skip


def test_captions_name_what_is_there():
    for scene in SCENES:
        for told, facts in zip(scene.captions, scene.facts, strict=True):
            assert len(told["en"]) == 5
            for text in [text for texts in told.values() for text in texts]:
                for word, kind in WORDS.items():
                    assert word.lower() not in text.lower() or facts.shares[kind] >= 0.08, text
                assert "now covers the ground" not in text or facts.snow
                assert "flooded the land" not in text or facts.flood
                assert "lake" not in text or facts.lake
                assert not any(f" {word} " in text.lower() for word in ("north", "left", "right", "top", "upper"))
    assert any("de" in scene.captions[0] for scene in SCENES)
    assert any("de" not in scene.captions[0] for scene in SCENES)


def test_captions_differ_by_the_words_and_not_by_the_facts():
    place = sample_place(np.random.default_rng(0))
    cover = sample_cover(np.random.default_rng(0), place, 48)
    facts = facts_of(place, cover, sample_seasons(np.random.default_rng(0), place, cover), 1)
    assert captions(facts, np.random.default_rng(1)) == captions(facts, np.random.default_rng(1))
    assert len(set(captions(facts, np.random.default_rng(1), count=20))) > 5


def test_fields_have_mean_zero_deviation_one_and_the_share_above_a_level():
    fields = fractal(np.random.default_rng(0), 3, 48, beta=3)
    np.testing.assert_allclose(fields.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(fields.std(axis=(1, 2)), 1, atol=1e-5)
    assert (fields[0] > at_share(fields[0], 0.3)).mean() == pytest.approx(0.3, abs=0.01)
    assert not (fields[0] > at_share(fields[0], 0)).any()
    assert (fields[0] > at_share(fields[0], 1)).all()
    np.testing.assert_allclose(blurred(np.ones((2, 5, 5), np.float32), 0.2), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("how", "message"), [({"size": 50}, "multiple of 6"), ({"climate": "tempest"}, "climate: is 'tempest'")]
)
def test_what_cannot_be_simulated_is_named(how, message):
    with pytest.raises(ConfigError, match=message):
        simulate(0, **how)
