"""CTProcessor and ScanProcessor: files to channels, variations, labels."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from core.errors import ConfigError, DataError
from domains.medical.data.source import ScanSource
from domains.medical.geometry import Radiograph, Volume
from domains.medical.io import read_labels, write_nifti
from domains.medical.processors import CTProcessor, ScanProcessor

AFFINE = np.diag([-1.5, -1.5, 4.0, 1.0])
CALCIUM = (300.0, 600.0)
STILL = {"shift": 0.0, "scale": 0.0, "noise": 0.0}


def body(shape=(30, 28, 10), seed=0) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return (noise / noise.std() * 400 - 200).astype(np.float32)


@pytest.fixture
def scan_file(tmp_path):
    write_nifti(tmp_path / "scan.nii.gz", body(), AFFINE)
    return tmp_path / "scan.nii.gz"


def test_a_file_a_volume_and_an_array_give_the_same_sample(scan_file):
    processor = CTProcessor(size=(8, 16, 16))
    sources = [scan_file, str(scan_file), Volume(body(), AFFINE, "HU"), (body(), AFFINE)]
    first, *others = (processor.load(source) for source in sources)
    assert {name: (a.dtype, a.shape) for name, a in first.items()} == {
        "x": (np.int16, (8, 16, 16)),
        "mask": (bool, (8,)),
        "spacing": (np.float32, (3,)),
    }
    for other in others:
        for name in first:
            np.testing.assert_array_equal(other[name], first[name])


def test_all_48_axis_orders_give_the_same_input():
    processor = CTProcessor(spacing=(5.0, 2.0, 2.0), size=(8, 24, 24), mip_windows=(CALCIUM,))
    base = Volume(body(), AFFINE, "HU")
    expected = processor.collate([processor.load(base)]).x
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        array, matrix = base.array_XYZ.transpose(order), np.zeros((4, 4))
        matrix[3, 3] = 1
        for new, old in enumerate(order):
            matrix[old, new] = signs[new]
            matrix[old, 3] = matrix[old, 3] if signs[new] > 0 else array.shape[new] - 1
        array = np.flip(array, [axis for axis, sign in enumerate(signs) if sign < 0])
        found = processor.collate([processor.load(Volume(array, AFFINE @ matrix, "HU"))]).x
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_slices_lie_as_a_radiologist_sees_them():
    array = np.full((9, 9, 9), -1000, np.float32)
    array[8, :, :] += 100  # x = 8: the patient's right in RAS
    array[:, 8, :] += 200  # y = 8: front
    array[:, :, 8] += 400  # z = 8: head
    x_SHW = CTProcessor(spacing=(1.0, 1.0, 1.0), size=(9, 9, 9)).load(Volume(array, np.eye(4), "HU"))["x"]
    assert (x_SHW[:, 1:, 0][:-1] == -900).all()  # the patient's right is the left edge of the picture
    assert (x_SHW[:-1, 0, 1:] == -800).all()  # front is on top
    assert (x_SHW[8, 1:, 1:] == -600).all()  # the head is last


def test_channels_are_the_windows_as_monai_scales_them():
    from monai.transforms import ScaleIntensityRange

    processor = CTProcessor(size=(8, 16, 16))
    sample = processor.load(Volume(body(), AFFINE, "HU"))
    x_VCSHW = processor.collate([sample]).x
    assert x_VCSHW.shape == (1, 3, 8, 16, 16)
    assert x_VCSHW.dtype == torch.float32
    for channel, (centre, width) in enumerate(((-600, 1500), (40, 400), (400, 1800))):
        scale = ScaleIntensityRange(centre - width / 2, centre + width / 2, 0.0, 1.0, clip=True)
        expected = torch.as_tensor(np.asarray(scale(sample["x"].astype(np.float32))))
        torch.testing.assert_close(x_VCSHW[0, channel], expected, rtol=0, atol=2e-6)


def test_maxima_follow_as_channels_of_their_own_windows():
    processor = CTProcessor(size=(5, 12, 12), windows=((40, 400),), mip_windows=(CALCIUM, (-600, 1500)))
    sample = processor.load(Volume(body(), AFFINE, "HU"))
    assert (sample["mip"].dtype, sample["mip"].shape) == (np.int16, (5, 12, 12))
    x = processor.collate([sample, processor.augment(sample, np.random.default_rng(0))]).x
    assert x.shape == (2, 3, 5, 12, 12)
    for channel, name, (centre, width) in ((0, "x", (40, 400)), (1, "mip", CALCIUM), (2, "mip", (-600, 1500))):
        expected = np.clip((sample[name].astype(np.float32) - centre + width / 2) / width, 0, 1)
        np.testing.assert_allclose(x[0, channel], expected, atol=2e-6)
    plain = CTProcessor(size=(5, 12, 12), windows=((40, 400),))
    without = plain.load(Volume(body(), AFFINE, "HU"))
    assert set(without) == {"x", "mask", "spacing"}
    for name in without:
        np.testing.assert_array_equal(sample[name], without[name])
    torch.testing.assert_close(plain.collate([sample]).x[0, 0], x[0, 0], rtol=0, atol=0)


def test_a_tiny_bright_voxel_survives_in_the_maxima_and_is_diluted_in_the_means():
    array = np.full((32, 32, 16), -800, np.float32)
    array[13, 18, 9] = 1500
    sample = CTProcessor(size=(4, 8, 8), mip_windows=(CALCIUM,)).load(Volume(array, np.eye(4), "HU"))
    assert (sample["mip"] == 1500).sum() == 1
    assert (sample["mip"] == -800).sum() == 4 * 8 * 8 - 1
    assert sample["x"].max() == round(-800 + 2300 / 4**3)  # one of the 4 x 4 x 4 voxels of a footprint
    assert np.argmax(sample["x"]) == np.argmax(sample["mip"])


def test_metal_and_padding_below_air_are_clipped_before_averaging():
    array = np.full((4, 4, 4), -3024, np.float32)
    array[0] = 30000
    x = CTProcessor(spacing=(1.0, 1.0, 1.0), size=(4, 4, 4)).load(Volume(array, np.eye(4), "HU"))["x"]
    assert (x.min(), x.max()) == (-1024, 3071)


def test_what_is_not_in_hounsfield_units_is_refused(tmp_path):
    processor = CTProcessor(size=(4, 8, 8))
    with pytest.raises(DataError, match="CT needs Hounsfield units, the values are raw"):
        processor.load(Volume(body(), AFFINE, "raw"))
    with pytest.raises(DataError, match="a picture without Hounsfield units"):
        processor.load(Radiograph(np.eye(5, dtype=np.float32)))
    for name, values in (("unit", body() / 4000 + 0.5), ("stored", body() + 3000)):
        path = tmp_path / f"{name}.nii.gz"
        write_nifti(path, values, AFFINE)
        with pytest.raises(DataError, match=rf"{name}\.nii\.gz: values from .* cannot be Hounsfield units"):
            processor.load(path)
    stored = ScanSource(tmp_path / "stored.nii.gz", slope=1.0, intercept=-3000.0, spacing=(1.5, 1.5, 4.0))
    expected = processor.load(Volume(body(), AFFINE, "HU"))["x"]
    assert np.abs(processor.load(stored)["x"] - expected).max() <= 1


def test_without_variation_augment_changes_nothing():
    processor = CTProcessor(size=(8, 16, 16), hu_shift=0.0, hu_scale=0.0, **STILL)
    sample = {**processor.load(Volume(body(), AFFINE, "HU")), "mask_organs": np.arange(2048).reshape(8, 16, 16)}
    varied = processor.augment(sample, np.random.default_rng(0))
    for name in sample:
        np.testing.assert_allclose(varied[name], sample[name], atol=2e-4)


def test_variation_is_a_function_of_the_generator_and_leaves_the_sample_alone():
    processor = CTProcessor(size=(8, 16, 16))
    sample = processor.load(Volume(body(), AFFINE, "HU"))
    before = {name: array.copy() for name, array in sample.items()}
    one, same, other = (processor.augment(sample, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["x"], same["x"])
    assert np.abs(one["x"] - other["x"]).max() > 10
    for name in sample:
        np.testing.assert_array_equal(sample[name], before[name])


def test_labels_move_with_the_image():
    blob = np.full((8, 32, 32), -1000, np.int16)
    blob[2:5, 8:20, 12:24] = 500
    labels = (blob > 0).astype(np.uint8)
    processor = CTProcessor(size=(8, 32, 32), shift=0.2, scale=0.2, noise=0.0, hu_shift=0.0, hu_scale=0.0)
    sample = {"x": blob, "mask": np.ones(8, bool), "spacing": np.ones(3, np.float32), "mask_lesions": labels}
    for seed in range(10):
        varied = processor.augment(sample, np.random.default_rng(seed))
        known = varied["mask_lesions"] != -1
        bright, marked = varied["x"] > -250, varied["mask_lesions"] == 1
        assert (bright == marked)[known].mean() > 0.995
        np.testing.assert_array_equal(varied["mask"], (varied["x"] > -1024).any((1, 2)))


def test_maxima_move_and_change_with_the_image():
    """The move and the change of values are linear, so the maxima of a scan with one bright voxel stay 9/5 of it."""
    delta = np.full((8, 32, 32), -1024, np.int16)
    delta[4, 15, 17] = 976
    brighter = np.where(delta > 0, 2576, delta).astype(np.int16)
    facts = {"mask": np.ones(8, bool), "spacing": np.ones(3, np.float32)}
    still = {"noise": 0.0, "hu_shift": 0.0, "hu_scale": 0.0}
    moving = CTProcessor(size=(8, 32, 32), shift=0.1, scale=0.1, mip_windows=(CALCIUM,), **still)
    plain = CTProcessor(size=(8, 32, 32), shift=0.1, scale=0.1)
    both = CTProcessor(size=(8, 32, 32), shift=0.1, scale=0.1, mip_windows=(CALCIUM,))
    places = set()
    for seed in range(8):
        varied = moving.augment({"x": delta, "mip": brighter, **facts}, np.random.default_rng(seed))
        np.testing.assert_allclose(varied["mip"] + 1024, (varied["x"] + 1024) * 1.8, atol=2e-3)
        places.add(int(np.argmax(varied["x"])))
        noisy = both.augment({"x": delta, "mip": delta, **facts}, np.random.default_rng(seed))
        alone = plain.augment({"x": delta, **facts}, np.random.default_rng(seed))
        np.testing.assert_allclose(noisy["x"], alone["x"], atol=2e-3)  # the same draws as without maxima
        noise = noisy["x"] - noisy["mip"]  # so gain and offset are equal
        assert abs(noise.mean()) < 5 * 15 / 8192**0.5
        assert noise.std() == pytest.approx(15, rel=0.05)
        assert len(np.unique(np.round(noisy["mip"], 2))) < 20  # no noise
    assert len(places) > 4


def test_slices_beyond_the_scan_are_masked_and_air():
    processor = CTProcessor(spacing=(4.0, 1.5, 1.5), size=(14, 28, 30))
    sample = processor.load(Volume(body(), AFFINE, "HU"))
    inp = processor.collate([sample, sample])
    assert inp.mask.tolist() == [[False] * 2 + [True] * 10 + [False] * 2] * 2
    air_C = torch.tensor([(-1024 + 1350) / 1500, 0, 0])  # in the lung window air is not black
    torch.testing.assert_close(inp.x[0, :, [0, 1, 12, 13]], air_C[:, None, None, None].expand(3, 4, 28, 30))
    torch.testing.assert_close(inp.extra["spacing"], torch.tensor([[4.0, 1.5, 1.5]] * 2))
    full = CTProcessor(size=(5, 16, 16))
    assert full.collate([full.load(Volume(body(), AFFINE, "HU"))]).mask is None


def test_scans_of_different_sizes_do_not_share_a_batch():
    processor = CTProcessor(spacing=(4.0, 3.0, 3.0), size=None)
    small, large = (processor.load(Volume(body(shape), AFFINE, "HU")) for shape in ((20, 20, 6), (30, 28, 10)))
    assert large["x"].shape == (10, 14, 15)
    with pytest.raises(ConfigError, match="cannot share a batch; set size"):
        processor.collate([small, large])


def test_labels_come_on_the_grid_and_a_prediction_goes_back_to_the_files_own(scan_file, tmp_path):
    labels = np.zeros((30, 28, 10), np.uint8)
    labels[5:20, 6:20, 2:8] = 3
    write_nifti(tmp_path / "organs.nii.gz", labels, AFFINE)
    processor = CTProcessor(spacing=(4.0, 1.5, 1.5), size=(12, 32, 32))
    on_grid = processor.load_mask(tmp_path / "organs.nii.gz", scan_file)
    assert on_grid.shape == (12, 32, 32)
    assert set(np.unique(on_grid)) == {-1, 0, 3}
    volume = processor.volume(scan_file)
    back = processor.to_input_grid(np.maximum(on_grid, 0), volume)
    np.testing.assert_array_equal(back, labels)  # same spacing: exact
    write_nifti(tmp_path / "predicted.nii.gz", back, volume.affine)
    assert read_labels(tmp_path / "predicted.nii.gz").same_grid(volume)
    with pytest.raises(DataError, match=r"labels have shape \(1, 2, 3\)"):
        processor.to_input_grid(np.zeros((1, 2, 3), int), volume)


def test_labels_on_another_grid_are_refused(scan_file, tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] = 2.0
    processor = CTProcessor(size=(8, 16, 16))
    for name, array, affine in (("moved", np.ones((30, 28, 10)), moved), ("cut", np.ones((30, 28, 9)), AFFINE)):
        write_nifti(tmp_path / f"{name}.nii.gz", array.astype(np.uint8), affine)
        with pytest.raises(DataError, match=rf"{name}\.nii\.gz: its grid is 30 x|{name}\.nii\.gz: its grid is \(30"):
            processor.load_mask(tmp_path / f"{name}.nii.gz", scan_file)


def test_percentiles_scale_a_scan_without_units():
    values = body() * 7 + 90
    processor = ScanProcessor(spacing=(4.0, 1.5, 1.5), size=(10, 28, 30), repeat=3)
    x = processor.collate([processor.load(Volume(values, AFFINE, "raw"))]).x
    low, high = np.percentile(values, (0.5, 99.5))
    expected = np.clip((values - low) / (high - low), 0, 1).transpose(2, 1, 0)  # AFFINE is LPS already
    assert x.shape == (1, 3, 10, 28, 30)
    np.testing.assert_allclose(x[0, 0], expected, atol=1e-3)
    assert torch.equal(x[0, 0], x[0, 2])
    other = processor.collate([processor.load(Volume(values * 3 + 50, AFFINE, "raw"))]).x
    torch.testing.assert_close(other, x, rtol=0, atol=1e-3)


def test_a_picture_is_a_scan_of_one_slice():
    picture = Radiograph(np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16))
    processor = ScanProcessor(size=(5, 12, 16))
    inp = processor.collate([processor.load(picture)])
    assert inp.mask.tolist() == [[False, False, True, False, False]]
    np.testing.assert_allclose(inp.x[0, 0, 2], picture.array_HW, atol=0.01)


def test_settings_that_cannot_work_are_named():
    for settings, text in (
        ({"size": None}, "spacing and size are both None"),
        ({"size": (0, 4, 4)}, r"size: is \(0, 4, 4\)"),
        ({"spacing": (1.0, -1.0, 1.0)}, "spacing: is"),
        ({"windows": ()}, r"^windows: is \(\); give"),
        ({"windows": ((40.0, 0.0),)}, "^windows: is .* with a positive width"),
        ({"mip_windows": ((300.0, -600.0),)}, "^mip_windows: is .* with a positive width"),
        ({"mip_windows": ((300.0,),)}, r"^mip_windows: is .*; give \(centre, width\) pairs in HU"),
        ({"shift": 0.9}, "shift 0.9"),
    ):
        with pytest.raises(ConfigError, match=text):
            CTProcessor(**settings)
    with pytest.raises(ConfigError, match="percentiles"):
        ScanProcessor(percentiles=(99.0, 1.0))


def test_cached_samples_outlive_changes_that_load_does_not_see():
    plain = CTProcessor()
    assert CTProcessor(windows=((40.0, 80.0),), noise=3.0).fingerprint() == plain.fingerprint()
    assert CTProcessor(size=(24, 96, 64)).fingerprint() != plain.fingerprint()
    assert CTProcessor(**plain.config()).fingerprint() == plain.fingerprint()
    showing = CTProcessor(mip_windows=(CALCIUM,))
    assert showing.fingerprint() != plain.fingerprint()
    assert CTProcessor(mip_windows=((0.0, 100.0), CALCIUM)).fingerprint() == showing.fingerprint()
    assert CTProcessor(size=(24, 96, 64), mip_windows=(CALCIUM,)).fingerprint() != showing.fingerprint()
    assert CTProcessor(**showing.config()).fingerprint() == showing.fingerprint()
    assert (len(showing.fingerprint()), CTProcessor(mip_windows=()).fingerprint()) == (32, plain.fingerprint())


def test_importing_monai_leaves_the_warning_handler_alone():
    import warnings

    before = warnings.showwarning
    CTProcessor(size=(8, 16, 16)).load(Volume(body(), AFFINE, "HU"))
    assert warnings.showwarning is before


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_scores_come_back_on_the_grid_of_the_file_with_smooth_borders(tmp_path, order):
    """Scores that are linear in space are interpolated exactly, where nearest labels show the thick model slices."""
    shape, affine = (40, 36, 30), np.diag([-1.0, -1.0, 1.0, 1.0])
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    plane = (10 * (x + y + 2 * z) - 655).transpose(order)
    turn = np.eye(4)[[*order, 3]].T
    path = tmp_path / "scan.nii.gz"
    write_nifti(path, plane.astype(np.float32), affine @ turn)
    processor = CTProcessor(size=(6, 20, 20))
    score = processor.load(path)["x"].astype(np.float32)
    smooth = processor.labels_to_source(np.stack([-score, score]), path)
    nearest = processor.labels_to_source((score > 0).astype(np.int16), path)
    inner = (slice(4, -4),) * 3  # beyond the outermost centres of the grid there is nothing to interpolate
    wrong, wrong_nearest = ((found != (plane > 0))[inner].mean() for found in (smooth, nearest))
    assert smooth.shape == nearest.shape == plane.shape
    assert wrong < 0.001
    assert wrong_nearest > 0.02
    processor.write_labels(smooth, path, tmp_path / f"out{processor.label_suffix}")
    back, spacing = processor.read_labels(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(back, smooth)
    np.testing.assert_allclose(read_labels(tmp_path / "out.nii.gz").affine, affine @ turn)
    assert spacing == (1.0, 1.0, 1.0)


def test_scores_of_another_grid_and_labels_of_another_scan_are_refused(scan_file, tmp_path):
    processor = CTProcessor(size=(8, 16, 16))
    with pytest.raises(DataError, match=r"scores have shape \(8, 8, 8\), the model grid of this scan is \(8, 16, 16\)"):
        processor.labels_to_source(np.zeros((2, 8, 8, 8), np.float32), scan_file)
    with pytest.raises(DataError, match=r"labels have shape \(2, 2, 2\), the scan has \(30, 28, 10\)"):
        processor.write_labels(np.zeros((2, 2, 2), np.uint8), scan_file, tmp_path / "x.nii.gz")
