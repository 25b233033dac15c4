"""RadiographProcessor: proportions, averaging, single slices, variations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import ConfigError, DataError
from domains.medical.geometry import Radiograph, Volume
from domains.medical.processors import RadiographProcessor


def gradient(rows, columns):
    return np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns)


def test_proportions_are_kept_and_the_rest_is_black():
    sample = RadiographProcessor(size=(32, 32)).load(np.ones((40, 80), np.float32))
    assert sample["x"].dtype == np.float16
    assert (sample["x"][8:24] == 1).all()
    assert (sample["x"][:8] == 0).all()
    assert (sample["x"][24:] == 0).all()


def test_pixels_that_are_not_square_are_made_square():
    wide_pixels = Radiograph(np.ones((40, 40), np.float32), (1.0, 2.0))
    assert (RadiographProcessor(size=(32, 32)).load(wide_pixels)["x"].max(1) > 0).sum() == 16


def test_shrinking_averages_so_that_small_things_stay():
    array = np.zeros((512, 512), np.float32)
    array[201, 333] = 1
    found = RadiographProcessor(size=(64, 64)).load(array)["x"].astype(np.float32)
    assert found.sum() * 64 == pytest.approx(1, rel=0.02)


def test_channels_are_equal_copies(tmp_path):
    Image.fromarray((gradient(20, 20) * 255).astype(np.uint8)).save(tmp_path / "a.png")
    processor = RadiographProcessor(size=(16, 16), channels=3)
    x = processor.collate([processor.load(tmp_path / "a.png")] * 2).x
    assert x.shape == (2, 3, 16, 16)
    assert x.dtype == torch.float32
    assert torch.equal(x[:, 0], x[:, 2])


def test_one_slice_is_shown_as_it_would_be_displayed():
    processor = RadiographProcessor(size=(6, 4))
    hu = np.linspace(-1200, 1200, 24, dtype=np.float32).reshape(6, 4)
    axial = Volume(hu.T[:, :, None], np.diag([-1.0, -1.0, 5.0, 1.0]), "HU")
    np.testing.assert_allclose(processor.load(axial)["x"], np.clip((hu + 1000) / 2000, 0, 1), atol=1e-3)
    ras = Volume(hu.T[::-1, ::-1, None], np.diag([1.0, 1.0, 5.0, 1.0]), "HU")
    np.testing.assert_allclose(processor.load(ras)["x"], processor.load(axial)["x"])
    coronal = Volume(hu[::-1].T[:, None, :], np.diag([-1.0, 5.0, 1.0, 1.0]), "HU")  # head at the end of the last axis
    np.testing.assert_allclose(processor.load(coronal)["x"], processor.load(axial)["x"])


def test_a_scan_of_many_slices_is_refused():
    with pytest.raises(DataError, match=r"a scan of \(2, 3, 4\) voxels is not a picture; use a volume processor"):
        RadiographProcessor().load(Volume(gradient(6, 4).reshape(2, 3, 4) + 0, np.eye(4), "raw"))


def test_variation_is_seeded_stays_in_range_and_never_mirrors():
    processor = RadiographProcessor(size=(64, 64))
    array = np.zeros((64, 64), np.float32)
    array[:, :20] = 0.8  # bright on the left
    sample = processor.load(array)
    one, same = (processor.augment(sample, np.random.default_rng(4))["x"] for _ in range(2))
    np.testing.assert_array_equal(one, same)
    for seed in range(50):
        varied = processor.augment(sample, np.random.default_rng(seed))["x"]
        assert varied.min() >= 0
        assert varied.max() <= 1
        assert varied[:, :32].mean() > varied[:, 32:].mean()


def test_without_variation_augment_changes_nothing():
    processor = RadiographProcessor(size=(20, 30), shift=0, scale=0, rotate=0, contrast=0, noise=0)
    sample = processor.load(gradient(20, 30))
    np.testing.assert_allclose(processor.augment(sample, np.random.default_rng(0))["x"], sample["x"], atol=1e-5)


def test_a_rotation_turns_by_its_angle_on_pictures_that_are_not_square():
    rows, columns = np.mgrid[:60, :120]
    disc = (((rows - 29.5) ** 2 + (columns - 59.5) ** 2) < 400).astype(np.float32)
    processor = RadiographProcessor(size=(60, 120), shift=0, scale=0, rotate=30, contrast=0, noise=0)
    varied = processor.augment({"x": disc}, np.random.default_rng(1))["x"]
    assert np.abs(varied - disc).mean() < 0.01  # a disc stays a disc: no shear


def test_settings_that_cannot_work_are_named():
    with pytest.raises(ConfigError, match="channels: is 0"):
        RadiographProcessor(channels=0)
    with pytest.raises(ConfigError, match=r"size: is \(0, 5\)"):
        RadiographProcessor(size=(0, 5))


def test_a_crop_shows_a_part_and_a_further_view_shares_the_stored_picture():
    still = {"shift": 0, "scale": 0, "rotate": 0, "contrast": 0, "noise": 0}
    array = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))  # the value tells the column
    whole = RadiographProcessor(size=(64, 64), **still)
    local = RadiographProcessor(size=(64, 64), crop=(0.25, 0.25), of="xray", **still)
    assert local.fingerprint() == whole.fingerprint()
    sample, rng = whole.load(array), np.random.default_rng(0)
    spans = []
    for _ in range(20):
        x_HW = local.augment(sample, rng)["x"]
        spans.append(float(x_HW.max() - x_HW.min()))
    np.testing.assert_allclose(spans, 0.25, atol=0.02)
    with pytest.raises(ConfigError, match="crop"):
        RadiographProcessor(crop=(0.5, 1.2))
