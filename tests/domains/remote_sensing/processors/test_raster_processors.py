"""Rasters to model input: bands, normalisation, validity, shared variation, what is saved with the weights."""

import json

import numpy as np
import pytest
import torch
from rs_files import north_up, radar_db, write_bands, write_tif

from core.errors import CheckpointError, ConfigError, DataError
from domains.remote_sensing.data.source import LabelSource, RasterSource
from domains.remote_sensing.processors import LabelMapProcessor, OpticalProcessor, RadarProcessor, RasterProcessor
from domains.remote_sensing.processors.geometry import Variation, centred, cropped, turned
from domains.remote_sensing.processors.raster import MISSING
from domains.remote_sensing.sensors import preset


@pytest.fixture
def optical(tmp_path):
    write_bands(tmp_path / "s2")
    return tmp_path / "s2"


@pytest.fixture
def radar(tmp_path):
    return write_tif(tmp_path / "s1.tif", radar_db(24), transform=north_up(), names=("VV", "VH"))


def test_a_sample_keeps_values_within_a_step(optical, radar):
    for processor, source, step in ((OpticalProcessor(normalise="none"), optical, 1e-4),
                                    (RadarProcessor(normalise="none"), radar, 0.01)):  # fmt: skip
        sample = processor.load(source)
        assert sample["x"].dtype == np.int16
        x = processor.collate([sample]).x[0].numpy()
        np.testing.assert_allclose(x, processor.raster(source).values_CHW, atol=step / 2 + 1e-5)


def test_zscore_two_deviations_and_range_are_what_they_say(radar):
    values = RadarProcessor(normalise="none").collate([RadarProcessor(normalise="none").load(radar)]).x
    mean, deviation = torch.tensor([-12.548, -20.192]), torch.tensor([5.257, 5.912])
    scored = (values - mean[:, None, None]) / deviation[:, None, None]

    def given(**how):
        processor = RadarProcessor(**how)
        return processor.collate([processor.load(radar)]).x

    torch.testing.assert_close(given(statistics="ssl4eo_s1"), scored, atol=1e-5, rtol=1e-5)
    two = given(normalise="two_deviations", statistics="ssl4eo_s1")
    torch.testing.assert_close(two, ((scored + 2) / 4).clamp(0, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(given(normalise="range", low=-25.0, high=0.0), ((values + 25) / 25).clamp(0, 1))


def test_values_undo_the_normalisation(optical):
    for how in ({"statistics": "ssl4eo_s2a"}, {"normalise": "range", "low": 0.0, "high": 2.0}, {"normalise": "none"}):
        processor = OpticalProcessor(**how)
        x = processor.collate([processor.load(optical)]).x
        torch.testing.assert_close(
            processor.values(x)[0], torch.from_numpy(processor.raster(optical).values_CHW), atol=1e-4, rtol=0
        )


def test_learned_statistics_standardise_the_training_data_and_travel_with_the_weights(radar, tmp_path):
    processor = RadarProcessor()
    with pytest.raises(ConfigError, match=r"has no means and deviations yet; call fit"):
        processor.collate([processor.load(radar)])
    processor.fit([radar])
    x = processor.collate([processor.load(radar)]).x
    assert x.mean((0, 2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(x.std((0, 2, 3), unbiased=False), torch.ones(2), atol=1e-4, rtol=0)
    processor.save(tmp_path)
    again = RadarProcessor()
    again.restore(tmp_path)
    torch.testing.assert_close(again.collate([again.load(radar)]).x, x)
    saved = json.loads((tmp_path / "bands.json").read_text())
    assert [band["name"] for band in saved["spec"]["bands"]] == ["VV", "VH"]


def test_weights_of_other_bands_are_refused_with_both_orders(tmp_path, radar):
    processor = RadarProcessor()
    processor.fit([radar])
    processor.save(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"(?s)bands.json: these weights were trained on other bands.*VH, VV.*VV, VH"
    ):
        RadarProcessor(sensor="sentinel1_db_vh_vv").restore(tmp_path)
    (tmp_path / "bands.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"not a readable band specification"):
        RadarProcessor().restore(tmp_path)
    with pytest.raises(CheckpointError, match=r"bands.json: is missing"):
        RadarProcessor().restore(tmp_path / "nowhere")


def test_missing_pixels_are_zero_after_normalisation_and_not_valid(tmp_path):
    db = radar_db(8)
    db[0, :2] = np.nan
    path = write_tif(tmp_path / "x.tif", db, transform=north_up())
    processor = RadarProcessor(statistics="ssl4eo_s1")
    batch = processor.collate([processor.load(path)])
    assert not batch.extra["valid"][0, :2].any()
    assert batch.extra["valid"][0, 2:].all()
    assert (batch.x[0, 0, :2] == 0).all()
    assert (batch.x[0, 1, :2] != 0).any()  # what the other band saw stays


def test_a_band_that_files_lack_is_an_error_or_the_mean_and_makes_nothing_invalid(optical):
    l2a = RasterSource(optical, preset("sentinel2_l2a"), tuple(f"{n}.tif" for n in preset("sentinel2_l2a").names))
    with pytest.raises(DataError, match=r"(?s)bands are missing.*12 bands.*13 bands"):
        OpticalProcessor(sensor="sentinel2_l1c", statistics="ssl4eo_s2c").load(l2a)
    processor = OpticalProcessor(sensor="sentinel2_l1c", statistics="ssl4eo_s2c", missing="zero")
    batch = processor.collate([processor.load(l2a)])
    assert (batch.x[0, 10] == 0).all()
    assert batch.extra["valid"].all()


def test_size_takes_the_middle_or_pads_with_missing(radar):
    small, large = RadarProcessor(size=(16, 12)), RadarProcessor(size=(30, 24))
    whole = RadarProcessor().load(radar)["x"]
    np.testing.assert_array_equal(small.load(radar)["x"], whole[:, 4:20, 6:18])
    padded = large.load(radar)["x"]
    assert (padded[:, :3] == MISSING).all()
    np.testing.assert_array_equal(padded[:, 3:27], whole)


def test_place_and_date_go_along(optical):
    source = RasterSource(optical, preset("sentinel2_10m"), ("B02.tif", "B03.tif", "B04.tif", "B08.tif"), "2020-02-01")
    processor = OpticalProcessor(sensor="sentinel2_10m", normalise="none")
    batch = processor.collate([processor.load(source), processor.load(optical)])
    assert batch.extra["day"][0] == 32
    assert torch.isnan(batch.extra["day"][1])
    assert batch.extra["lonlat"].dtype == torch.float64
    assert 9.0 < batch.extra["lonlat"][0, 0] < 9.01
    assert 47.8 < batch.extra["lonlat"][0, 1] < 47.9


def test_modalities_of_one_place_are_varied_alike(optical, radar, tmp_path):
    index = np.arange(24 * 24, dtype=np.uint16).reshape(24, 24) + 300  # every pixel another number
    for name in preset("sentinel2_10m").names:
        write_tif(optical / f"{name}.tif", index, transform=north_up(), nodata=0)
    labels = write_tif(tmp_path / "label.tif", (index % 7).astype(np.uint8), transform=north_up())
    s2 = OpticalProcessor(sensor="sentinel2_10m", normalise="none", crop=12, crop_step=6, gain=0)
    coarse = OpticalProcessor(sensor="sentinel2_60m", normalise="none", crop=2)
    dw = LabelMapProcessor(classes=7, crop=12, crop_step=6)
    sample = {**s2.load(optical), "mask_dw": s2.load_mask(labels, optical)}
    seen = set()
    for seed in range(40):
        rows = [p.augment_jointly(s, np.random.default_rng(seed)) for p, s in
                ((s2, sample), (coarse, coarse.load(optical)), (dw, dw.load(labels)))]  # fmt: skip
        np.testing.assert_array_equal((rows[0]["x"][0] % 7), rows[0]["mask_dw"])
        np.testing.assert_array_equal(rows[0]["mask_dw"], rows[2]["x"])
        coarse_whole, fine_whole = coarse.load(optical)["x"][0], sample["x"][0]
        corner = np.argwhere(fine_whole == rows[0]["x"][0].min())[0]  # the upper left pixel of the crop
        assert (corner % 6 == 0).all()
        r, c = corner // 6
        np.testing.assert_array_equal(
            np.sort(rows[1]["x"][0].ravel()), np.sort(coarse_whole[r : r + 2, c : c + 2].ravel())
        )
        seen.add(rows[0]["x"].tobytes())
    assert len(seen) > 20


def test_flip_and_turns_reach_all_eight_positions_of_a_square():
    square = np.arange(9).reshape(3, 3)
    made = {
        turned(square, Variation(0, 0, flip, k), flip=True, rotate=True).tobytes() for flip in (0, 1) for k in range(4)
    }
    assert len(made) == 8
    np.testing.assert_array_equal(turned(square, Variation(0, 0, True, 3), flip=False, rotate=False), square)
    wide = np.arange(6).reshape(2, 3)
    assert turned(wide, Variation(0, 0, False, 1), flip=True, rotate=True).shape == (2, 3)


def test_crops_cover_the_whole_tile_and_do_not_leave_it():
    tile = np.arange(100).reshape(10, 10)
    corners = {int(cropped(tile, Variation(a, a, False, 0), 4, 2)[0, 0]) for a in np.linspace(0, 0.999, 50)}
    assert corners == {0, 22, 44, 66}
    with pytest.raises(ConfigError, match=r"crop: is 12, larger than the tile of 10 x 10"):
        cropped(tile, Variation(0, 0, False, 0), 12, 1)
    assert centred(tile, (2, 2), -1).tolist() == [[44, 45], [54, 55]]


def test_values_vary_within_the_limits_and_missing_stays_missing(radar):
    processor = RadarProcessor(normalise="none", shift=1.0)
    sample = processor.load(radar)
    sample["x"][:, 0, 0] = MISSING
    shifts = []
    for seed in range(30):
        plain, varied = processor.collate([sample, processor.augment(sample, np.random.default_rng(seed))]).x
        assert (varied[:, 0, 0] == 0).all()
        shifts.append(float((varied - plain).median()))
    assert -1.005 <= min(shifts) < -0.5
    assert 0.5 < max(shifts) <= 1.005


def test_label_maps_follow_the_grid_of_the_sample(radar, tmp_path):
    labels = np.arange(144, dtype=np.uint8).reshape(12, 12) % 9
    path = write_tif(tmp_path / "l.tif", labels, transform=north_up(20))
    processor = RadarProcessor(size=(30, 30))
    mask = processor.load_mask(LabelSource(path, classes=9), radar)
    assert mask.shape == (30, 30)
    assert (mask[:3] == -1).all()
    np.testing.assert_array_equal(mask[3:27, 3:27], np.kron(labels, np.ones((2, 2))))
    elsewhere = write_tif(tmp_path / "m.tif", labels, transform=north_up(20, (700_000.0, 5_300_000.0)))
    with pytest.raises(DataError, match=r"m.tif: the labels do not lie on the ground of the raster"):
        processor.load_mask(elsewhere, radar)
    with pytest.raises(DataError, match=r"l.tif: label 8 is outside the 5 classes 0 to 4"):
        LabelMapProcessor(classes=5).load(path)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sensor": "sentinel1_power"}, "is in power; models read"),
        ({"sensor": "sentinel2_l2a", "crop": 64, "size": (32, 32)}, "crop: is 64, larger than the sample of 32 x 32"),
        ({"sensor": "sentinel2_l2a", "low": 1.0, "high": 0.5}, "high is larger"),
        ({"sensor": "sentinel2_l2a", "statistics": "ssl4eo_s2"}, "there are none called 'ssl4eo_s2'; did you mean"),
        ({"sensor": "sentinel2_l2a", "statistics": "ssl4eo_s1"}, "statistics: these are of VV, VH in db"),
        ({"sensor": "sentinel2_l2a", "bands": ("B10",)}, "has no band 'B10'"),
        ({"sensor": "sentinel2_l2a", "gain": 1.5}, "gain 1.5 is a share"),
    ],
)
def test_settings_are_checked_when_the_processor_is_made(how, message):
    with pytest.raises(ConfigError, match=message):
        RasterProcessor(**how)


def test_tiles_of_two_sizes_do_not_share_a_batch(radar, tmp_path):
    other = write_tif(tmp_path / "o.tif", radar_db(8), transform=north_up())
    processor = RadarProcessor(statistics="ssl4eo_s1")
    with pytest.raises(ConfigError, match=r"cannot share a batch; set size, or crop"):
        processor.collate([processor.load(radar), processor.load(other)])


def test_only_what_changes_the_sample_changes_its_fingerprint():
    base = OpticalProcessor().fingerprint()
    assert OpticalProcessor(crop=8, statistics="ssl4eo_s2a", gain=0.2, flip=False).fingerprint() == base
    assert OpticalProcessor(bands=("B02",)).fingerprint() != base
    assert OpticalProcessor(baseline="05.10").fingerprint() != base
    assert OpticalProcessor(size=(8, 8)).fingerprint() != base


@pytest.mark.parametrize("size", [None, (16, 12), (30, 28)])
def test_predictions_return_to_where_their_pixels_came_from(radar, tmp_path, size):
    labels = (np.arange(24 * 24).reshape(24, 24) % 7).astype(np.uint8)
    path = write_tif(tmp_path / "l.tif", labels, transform=north_up())
    processor = RadarProcessor(size=size)
    sample = processor.load_mask(path, radar)
    back = processor.labels_to_source(np.maximum(sample, 0), radar)
    covered = np.s_[4:20, 6:18] if size == (16, 12) else np.s_[:, :]
    np.testing.assert_array_equal(back[covered], labels[covered])
    if size == (16, 12):
        assert (back[:4] == 0).all()
    scores = np.eye(7, dtype=np.float32)[np.maximum(sample, 0)].transpose(2, 0, 1)
    np.testing.assert_array_equal(processor.labels_to_source(scores, radar), back)
    processor.write_labels(back, radar, tmp_path / "out.tif")
    again, spacing = processor.read_labels(tmp_path / "out.tif")
    np.testing.assert_array_equal(again, back)
    assert spacing == (10, 10)
    with pytest.raises(DataError, match=r"labels have shape \(3, 3\), the sample of this raster has"):
        processor.labels_to_source(np.zeros((3, 3)), radar)


def test_a_coarser_sample_is_brought_back_to_the_raster(radar, tmp_path):
    processor = RadarProcessor(pixel=20.0)
    coarse = np.arange(144).reshape(12, 12) % 5
    np.testing.assert_array_equal(processor.labels_to_source(coarse, radar), np.kron(coarse, np.ones((2, 2))))
    path = write_tif(tmp_path / "l.tif", coarse.astype(np.uint8), transform=north_up(20))
    np.testing.assert_array_equal(processor.load_mask(path, radar), coarse)
