"""PNG, JPEG and projection DICOM: absolute grey scale, inversion, windows, colour."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from core.errors import DataError
from domains.medical.geometry import Radiograph
from domains.medical.io import read, read_dicom_image, read_picture

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def test_eight_bit_values_keep_their_scale(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert isinstance(found, Radiograph)
    np.testing.assert_allclose(found.array_HW, RAMP / 255, atol=1e-7)
    assert found.pixel_mm is None


@pytest.mark.parametrize(("highest", "bits"), [(65535, 16), (5000, 14), (4095, 12), (200, 8)])
def test_sixteen_bit_values_are_divided_by_the_detector_range(tmp_path, highest, bits):
    array = np.linspace(0, highest, 12).astype(np.uint16).reshape(3, 4)
    Image.fromarray(array).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_picture(tmp_path / "a.png").array_HW, array / (2**bits - 1), atol=1e-6)


def test_colour_is_luma_and_rotation_tags_are_obeyed(tmp_path):
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0], red[0, 0] = 200, 0
    Image.fromarray(red).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").array_HW[1, 1] == pytest.approx(0.299 * 200 / 255, abs=0.003)
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    Image.fromarray(RAMP).resize((40, 30)).save(tmp_path / "b.jpg", exif=exif)
    assert read_picture(tmp_path / "b.jpg").shape == (40, 30)


def test_other_formats_are_refused_whatever_their_name(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: not a readable PNG or JPEG picture"):
        read(tmp_path / "a.png")


def test_blank_and_absent_pictures_are_errors(tmp_path):
    Image.new("L", (5, 5), 9).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: no signal: all 25 values are 9"):
        read(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"b\.png: there is no such file"):
        read(tmp_path / "b.png")


def test_a_picture_bomb_is_refused_before_it_is_inflated(tmp_path, monkeypatch):
    Image.new("L", (3000, 2000)).save(tmp_path / "a.png")
    monkeypatch.setattr("domains.medical.io.guard.MAX_VOXELS", 1_000_000)
    with pytest.raises(DataError, match="3000 x 2000 values, over the limit of 1,000,000"):
        read_picture(tmp_path / "a.png")


def test_arrays_must_be_in_range():
    assert read(RAMP / 255.0).shape == (3, 4)
    with pytest.raises(DataError, match=r"\[0, 220\]; scale it first"):
        read(RAMP)


# projection DICOM; `picture` writes one


@pytest.fixture
def picture(write_series):
    def write(array, name="xray", **tags):
        folder = write_series(
            array[None],
            folder=name,
            change=lambda k, d: [setattr(d, key, value) for key, value in {"Modality": "DX", **tags}.items()],
        )
        return next(folder.iterdir())

    return write


GREY = np.arange(80, dtype=np.int16).reshape(10, 8) * 10


def test_monochrome1_is_the_negative_of_monochrome2(picture):
    tags = {"WindowCenter": -199.5, "WindowWidth": 1601}  # values are 2 * stored - 1000: -1000 to 580
    plain = read_dicom_image(picture(GREY, "a", **tags))
    inverted = read_dicom_image(picture(GREY, "b", PhotometricInterpretation="MONOCHROME1", **tags))
    assert isinstance(plain, Radiograph)
    np.testing.assert_allclose(plain.array_HW, (GREY * 2.0 - 1000 + 1000) / 1600, atol=1e-6)
    np.testing.assert_allclose(inverted.array_HW, 1 - plain.array_HW, atol=1e-6)


def test_window_functions_follow_the_standard(picture):
    values = GREY * 2.0 - 1000
    exact = read_dicom_image(picture(GREY, "a", WindowCenter=0, WindowWidth=800, VOILUTFunction="LINEAR_EXACT"))
    np.testing.assert_allclose(exact.array_HW, np.clip(values / 800 + 0.5, 0, 1), atol=1e-6)
    smooth = read_dicom_image(picture(GREY, "b", WindowCenter=0, WindowWidth=800, VOILUTFunction="SIGMOID"))
    np.testing.assert_allclose(smooth.array_HW, 1 / (1 + np.exp(-4 * values / 800)), atol=1e-6)


def test_without_a_window_percentiles_become_black_and_white(picture):
    shown = read_dicom_image(picture(GREY)).array_HW
    low, high = np.percentile(GREY * 2.0 - 1000, (0.5, 99.5))
    np.testing.assert_allclose(shown, np.clip((GREY * 2.0 - 1000 - low) / (high - low), 0, 1), atol=1e-5)


def test_a_window_beside_the_data_does_not_blank_the_picture(picture):
    shown = read_dicom_image(picture(GREY, WindowCenter=90000, WindowWidth=10))
    assert shown.provenance[-1] == "percentiles"
    assert shown.array_HW.std() > 0.1


def test_padding_is_black_even_when_inverted(picture):
    array = GREY.copy()
    array[:, 0] = -2000
    found = read_dicom_image(picture(array, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1"))
    assert (found.array_HW[:, 0] == 0).all()
    assert found.array_HW[:, 1:].std() > 0.2  # padding has not stretched the scale


def test_view_side_and_spacing_are_kept_when_they_are_known_codes(picture):
    found = read_dicom_image(picture(GREY, ViewPosition="PA", ImageLaterality="L", ImagerPixelSpacing=[0.2, 0.1]))
    assert (found.view, found.laterality) == ("PA", "L")
    assert found.pixel_mm == (0.75, 0.5)  # PixelSpacing goes first
    other = read_dicom_image(picture(GREY, "b", ViewPosition="SMITH JANE", ImageLaterality="U"))
    assert (other.view, other.laterality) == ("", "")
