"""NIfTI in and out: scaling, affine, shape, missing values, damage."""

from __future__ import annotations

import gzip
import logging
import struct

import nibabel
import numpy as np
import pytest

from core.errors import DataError
from domains.medical.data.source import ScanSource
from domains.medical.io import read, read_labels, read_nifti, write_nifti

AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0.75, 0, 20], [0, 0, 2.0, 30], [0, 0, 0, 1]])
ARRAY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 30


@pytest.fixture
def save(tmp_path):
    def write(array=ARRAY, affine=AFFINE, name="scan.nii.gz", change=None):
        image = nibabel.Nifti1Image(array, affine)
        if change is not None:
            change(image)
        nibabel.save(image, tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.img"])
def test_values_affine_and_units_come_through(save, tmp_path, name):
    image = nibabel.Nifti1Pair(ARRAY, AFFINE) if name.endswith("img") else nibabel.Nifti1Image(ARRAY, AFFINE)
    nibabel.save(image, tmp_path / name)
    volume = read(tmp_path / name, units="HU")
    np.testing.assert_array_equal(volume.array_XYZ, ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE)
    assert (volume.units, volume.orientation) == ("HU", "LAS")
    assert volume.spacing == pytest.approx((0.5, 0.75, 2.0))


def test_slope_is_applied_once_and_a_slope_of_zero_or_nan_means_none(save):
    def header_slope(slope, inter):
        return lambda image: image.header.set_slope_inter(slope, inter)

    scaled = read_nifti(save(change=header_slope(2.0, -5.0)))
    reference = np.asanyarray(nibabel.load(save(change=header_slope(2.0, -5.0))).dataobj)
    np.testing.assert_allclose(scaled.array_XYZ, reference, atol=1e-4)
    path = save(name="raw.nii")
    for slope in (0.0, float("nan")):
        data = bytearray(path.read_bytes())
        data[112:116] = struct.pack("<f", slope)
        path.write_bytes(data)
        np.testing.assert_array_equal(read_nifti(path).array_XYZ, ARRAY)


def test_a_table_can_replace_slope_and_spacing(save):
    path = save(change=lambda image: image.header.set_slope_inter(3.0, 7.0))
    stored = nibabel.load(path).dataobj.get_unscaled()
    volume = read(ScanSource(path, slope=2.0, intercept=-1024.0, spacing=(1.0, 1.5, 4.0)))
    np.testing.assert_allclose(volume.array_XYZ, stored * 2.0 - 1024, atol=1e-3)
    assert volume.units == "HU"
    assert volume.spacing == pytest.approx((1.0, 1.5, 4.0))
    assert volume.orientation == "LAS"


def test_sform_wins_over_qform_and_a_disagreement_is_logged_without_the_path(save, caplog):
    moved = AFFINE.copy()
    moved[0, 3] += 3

    def change(image):
        image.set_qform(moved, code=1)
        image.set_sform(AFFINE, code=2)

    path = save(change=change)
    with caplog.at_level(logging.WARNING):
        volume = read_nifti(path)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)
    assert "sform and qform are 3 mm apart" in caplog.text
    assert "ref:" in caplog.text
    assert path.name not in caplog.text
    caplog.clear()
    only_qform = save(change=lambda image: (image.set_sform(None, code=0), image.set_qform(moved, code=1)))
    np.testing.assert_allclose(read_nifti(only_qform).affine, moved, atol=1e-5)
    assert caplog.text == ""


def test_a_file_without_orientation_is_read_and_says_so(save, caplog):
    path = save(change=lambda image: (image.set_sform(None, code=0), image.set_qform(None, code=0)))
    assert "no orientation in the header" in read_nifti(path).provenance
    assert "does not say where left and right are" in caplog.text


def test_micrometres_and_metres_become_millimetres(save):
    metres = AFFINE.copy()
    metres[:3] /= 1000
    for name, affine in (("meter", metres), ("micron", np.vstack([AFFINE[:3] * 1000, AFFINE[3:]]))):
        volume = read_nifti(save(affine=affine, change=lambda image, n=name: image.header.set_xyzt_units(n)))
        np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-5)


def test_a_sheared_affine_is_refused_with_a_remedy_that_works(save):
    sheared = AFFINE.copy()
    sheared[1, 2] = 0.3
    with pytest.raises(DataError, match=r"scan\.nii\.gz: the axes are not at right angles .*sheared='nearest'"):
        read_nifti(save(affine=sheared))
    fixed = read_nifti(save(affine=sheared), sheared="nearest")
    np.testing.assert_allclose(fixed.spacing, np.linalg.norm(sheared[:3, :3], axis=0), rtol=1e-6)
    centre = [*(np.array(ARRAY.shape) - 1) / 2, 1]
    np.testing.assert_allclose(fixed.affine @ centre, sheared @ centre, atol=1e-5)


def test_singleton_axes_are_dropped_and_a_series_needs_a_choice(save):
    assert read_nifti(save(ARRAY[..., None])).shape == ARRAY.shape
    series = np.stack([ARRAY, ARRAY + 1, ARRAY + 2], -1)
    with pytest.raises(DataError, match=r"holds 3 volumes \(shape \(4, 5, 6, 3\)\); choose one with frame=0\.\.2"):
        read_nifti(save(series))
    np.testing.assert_array_equal(read_nifti(save(series), frame=2).array_XYZ, ARRAY + 2)
    with pytest.raises(DataError, match="no volume 3"):
        read_nifti(save(series), frame=3)
    assert read_nifti(save(ARRAY[..., 0])).shape == (4, 5, 1)


def test_missing_values_are_filled_with_air_or_the_smallest_value(save):
    array = ARRAY.astype(np.float32)
    array[0, 0, 0], array[1, 1, 1] = np.nan, np.inf
    hu, raw = read_nifti(save(array), units="HU"), read_nifti(save(array))
    assert hu.array_XYZ[0, 0, 0] == hu.array_XYZ[1, 1, 1] == -1024
    assert raw.array_XYZ[0, 0, 0] == ARRAY.ravel()[1:].min()
    assert "2 missing values filled" in raw.provenance
    array[:3] = np.nan
    with pytest.raises(DataError, match="are nan or infinite"):
        read_nifti(save(array))


@pytest.mark.parametrize("value", [0, -1024, 7])
def test_a_blank_scan_is_an_error(save, value):
    with pytest.raises(DataError, match=rf"no signal: all 120 values are {value}"):
        read_nifti(save(np.full((4, 5, 6), value, np.int16)))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_header_that_claims_too_much_is_refused_before_allocation(save, name):
    path = save(name=name)
    data = bytearray(gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes())
    data[40:56] = struct.pack("<8h", 4, 32767, 32767, 32767, 32767, 1, 1, 1)
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(DataError, match="over the limit"):
        read_nifti(path)
    data[40:56] = struct.pack("<8h", 3, 1000, 1000, 900, 1, 1, 1, 1)
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(DataError, match="the file cannot hold them"):
        read_nifti(path)


def test_other_formats_and_value_types_are_refused(save, tmp_path):
    with pytest.raises(DataError, match="complex64; only real numbers"):
        read_nifti(save(ARRAY.astype(np.complex64)))
    nibabel.save(nibabel.AnalyzeImage(ARRAY, AFFINE), tmp_path / "old.img")
    with pytest.raises(DataError, match="not NIfTI: its orientation is not reliable"):
        read(tmp_path / "old.img")
    nibabel.save(nibabel.Nifti1Pair(ARRAY, AFFINE), tmp_path / "pair.hdr")
    (tmp_path / "pair.img").unlink()
    with pytest.raises(DataError, match=r"voxels are in pair\.img, which is missing"):
        read(tmp_path / "pair.hdr")


@pytest.mark.parametrize(("highest", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16)])
def test_labels_are_written_small_and_come_back_on_the_same_grid(tmp_path, highest, dtype):
    labels = np.zeros(ARRAY.shape, np.int64)
    labels[1, 2, 3] = highest
    path = tmp_path / "new" / "mask.nii.gz"
    write_nifti(path, labels, AFFINE)
    assert nibabel.load(path).get_data_dtype() == dtype
    back = read_labels(path)
    np.testing.assert_array_equal(back.array_XYZ, labels)
    np.testing.assert_allclose(back.affine, AFFINE, atol=1e-6)
    header = nibabel.load(path).header
    np.testing.assert_allclose(header.get_qform(), AFFINE, atol=1e-5)
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_label_map_is_refused(save, tmp_path):
    assert read_labels(save(np.zeros((4, 5, 6), np.uint8))).array_XYZ.max() == 0  # all background is fine
    with pytest.raises(DataError, match="not a label map"):
        read_labels(save(np.linspace(0, 1, 120, dtype=np.float32).reshape(4, 5, 6)))
    with pytest.raises(DataError, match="not a label map"):
        read_labels(save())  # negative values
    with pytest.raises(DataError, match="no negative value"):
        write_nifti(tmp_path / "m.nii", ARRAY, AFFINE)
    with pytest.raises(DataError, match=r"named \.nii or \.nii\.gz"):
        write_nifti(tmp_path / "m.png", ARRAY, AFFINE)
