"""The test images that pydicom and nibabel ship, read as they are."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from core.errors import DataError
from domains.medical.geometry import Radiograph, Volume
from domains.medical.io import read, read_dicom_series

DICOM = Path(pydicom.data.__file__).parent / "test_files"
NIFTI = Path(nibabel.__file__).parent / "tests" / "data"

# What cannot be read, and the words that say why.
UNREADABLE = {
    "JPEG-lossy.dcm": "JPEG Extended",  # 12 bits: no permissively licensed decoder
    "JPGExtended.dcm": "JPEG Extended",
    "JPEG2000-embedded-sequence-delimiter.dcm": "JPEG 2000",
    "MR_truncated.dcm": "cut short",
    "badVR.dcm": "damaged",
}


def images() -> list[Path]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sorted(
            p for p in DICOM.glob("*.dcm") if {"PixelData", "Rows"} <= set(pydicom.dcmread(p, force=True).dir())
        )


IMAGES = images()


@pytest.mark.parametrize("path", IMAGES, ids=lambda p: p.name)
def test_each_image_is_read_or_refused_by_name(path):
    if path.name in UNREADABLE:
        with pytest.raises(DataError, match=rf"{path.name}: .*{UNREADABLE[path.name]}"):
            read(path)
        return
    found = read(path)
    array = found.array_HW if isinstance(found, Radiograph) else found.array_XYZ
    assert np.isfinite(array).all()
    assert array.std() > 0
    if isinstance(found, Radiograph):
        assert array.min() >= 0
        assert array.max() <= 1


def test_at_least_fifty_of_them_are_read():
    assert len(IMAGES) - len(UNREADABLE) >= 50


@pytest.mark.parametrize(
    "name", ["MR_small_RLE", "MR_small_bigendian", "MR_small_expb", "MR_small_implicit", "MR_small_jp2klossless"]
)
def test_one_image_in_many_codings_gives_the_same_values(name):
    np.testing.assert_array_equal(read(DICOM / f"{name}.dcm").array_XYZ, read(DICOM / "MR_small.dcm").array_XYZ)


def test_ct_is_in_hounsfield_units_once():
    found, header = read(DICOM / "CT_small.dcm"), pydicom.dcmread(DICOM / "CT_small.dcm")
    expected = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
    assert isinstance(found, Volume)
    assert found.units == "HU"
    np.testing.assert_array_equal(found.array_XYZ[:, :, 0].T, np.maximum(expected, -1024))


def test_a_dose_grid_takes_its_slices_from_the_offset_vector():
    found, header = read(DICOM / "rtdose.dcm"), pydicom.dcmread(DICOM / "rtdose.dcm")
    assert found.shape == (10, 10, 15)
    assert found.spacing[2] == pytest.approx(float(header.GridFrameOffsetVector[1] - header.GridFrameOffsetVector[0]))


def test_ultrasound_in_colour_palette_and_loops_is_a_grey_picture():
    shapes = {name: read(DICOM / f"examples_{name}.dcm").shape for name in ("palette", "rgb_color", "ybr_color")}
    assert shapes == {"palette": (350, 800), "rgb_color": (240, 320), "ybr_color": (240, 320)}
    assert "frame 15 of 30" in read(DICOM / "examples_ybr_color.dcm").provenance


def test_a_folder_of_loose_slices_is_not_a_series():
    with pytest.raises(DataError, match=r"CT2: slices are missing|CT2: it holds .* series|CT2: .*evenly"):
        read_dicom_series(DICOM / "dicomdirtests" / "77654033" / "CT2")


def test_table_of_contents_is_refused_and_never_followed():
    with pytest.raises(DataError, match="DICOMDIR, a table of contents"):
        read(DICOM / "dicomdirtests" / "DICOMDIR")


@pytest.mark.parametrize("name", ["anatomical.nii", "reoriented_anat_moved.nii", "standard.nii.gz"])
def test_nifti_agrees_with_its_library(name):
    found, image = read(NIFTI / name), nibabel.load(NIFTI / name)
    np.testing.assert_allclose(found.array_XYZ, image.get_fdata(), rtol=1e-6)
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-9)
    assert found.orientation == "".join(nibabel.aff2axcodes(image.affine))


@pytest.mark.parametrize("name", ["example4d.nii.gz", "functional.nii", "example_nifti2.nii.gz"])
def test_time_series_ask_which_volume(name):
    with pytest.raises(DataError, match=rf"{name}: it holds \d+ volumes .* choose one with frame="):
        read(NIFTI / name)
