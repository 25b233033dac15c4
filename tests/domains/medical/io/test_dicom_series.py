"""A folder of slices becomes one volume, or an error that says why not."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from domains.medical.io import read, read_dicom_image, read_dicom_series

STEP_MM, ROW_MM, COLUMN_MM = 2.5, 0.75, 0.5  # as conftest writes them


def stored(slices=6, rows=10, columns=8):
    return np.arange(slices * rows * columns, dtype=np.int16).reshape(slices, rows, columns)


def test_slices_are_ordered_by_position_and_rescaled_once(write_series):
    volume = read_dicom_series(write_series())
    np.testing.assert_array_equal(volume.array_XYZ, stored().transpose(2, 1, 0) * 2.0 - 1000)
    assert volume.units == "HU"
    assert volume.spacing == pytest.approx((COLUMN_MM, ROW_MM, STEP_MM))
    assert volume.orientation == "LPS"


def test_the_affine_leads_every_voxel_to_its_dicom_position(write_series):
    volume = read_dicom_series(write_series())
    # column 3, row 5, slice 2 lies at IPP + 3 columns + 5 rows in LPS; RAS flips x and y
    lps = np.array([-20 + 3 * COLUMN_MM, -30 + 5 * ROW_MM, 100 + 2 * STEP_MM])
    np.testing.assert_allclose((volume.affine @ [3, 5, 2, 1])[:3], lps * [-1, -1, 1], atol=1e-9)


def test_an_oblique_series_is_ordered_along_its_own_normal(write_series):
    angle = np.deg2rad(30)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(angle), np.sin(angle)])
    normal = np.cross(row, column)
    positions = [np.round(np.array([5, 6, 7]) + normal * STEP_MM * k, 6) for k in range(6)]
    volume = read_dicom_series(write_series(positions=positions, orientation=(*row, *np.round(column, 8))))
    np.testing.assert_array_equal(volume.array_XYZ[0, 0], stored()[:, 0, 0] * 2.0 - 1000)
    lps = positions[4] + row * 2 * COLUMN_MM + column * 3 * ROW_MM
    np.testing.assert_allclose((volume.affine @ [2, 3, 4, 1])[:3], lps * [-1, -1, 1], atol=1e-4)


def test_each_slice_has_its_own_slope(write_series):
    def own_slope(k, dataset):
        dataset.RescaleSlope = k + 1

    volume = read_dicom_series(write_series(change=own_slope))
    expected = stored() * np.arange(1.0, 7)[:, None, None] - 1000
    np.testing.assert_array_equal(volume.array_XYZ, expected.transpose(2, 1, 0))


def test_ct_without_rescale_is_not_called_hounsfield(write_series):
    def strip(k, dataset):
        del dataset.RescaleSlope, dataset.RescaleIntercept

    volume = read_dicom_series(write_series(change=strip))
    assert volume.units == "raw"
    np.testing.assert_array_equal(volume.array_XYZ, stored().transpose(2, 1, 0))


@pytest.mark.parametrize("as_unsigned", [False, True])
def test_padding_becomes_air(write_series, as_unsigned):
    array = stored()
    array[:, 0, :] = -2000

    def unsigned(k, dataset):
        if as_unsigned:  # the tag written in the wrong sign convention, as some scanners do
            dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
        else:
            dataset.PixelPaddingValue = -2000

    volume = read_dicom_series(write_series(array, change=unsigned))
    assert (volume.array_XYZ[:, 0, :] == -1024).all()
    np.testing.assert_array_equal(volume.array_XYZ[:, 1:, :], array.transpose(2, 1, 0)[:, 1:] * 2.0 - 1000)


def test_a_missing_slice_is_named_by_its_place(write_series):
    heights = [0, 2.5, 5, 10, 12.5, 15]
    folder = write_series(positions=[(0, 0, z) for z in heights])
    with pytest.raises(DataError, match=r"series: slices are missing: 1 between 5\.00 and 10\.00 mm .*gaps='resample'"):
        read_dicom_series(folder)
    volume = read_dicom_series(folder, gaps="resample")
    assert volume.shape == (8, 10, 7)
    expected = (stored()[2] + stored()[3]) / 2 * 2.0 - 1000
    np.testing.assert_allclose(volume.array_XYZ[:, :, 3].T, expected)
    np.testing.assert_array_equal(volume.array_XYZ[:, :, -1].T, stored()[5] * 2.0 - 1000)


def test_gaps_within_one_percent_pass_and_beyond_do_not(write_series):
    good = write_series(folder="good", positions=[(0, 0, z) for z in (0, 2.51, 5, 7.5, 10, 12.5)])
    assert read_dicom_series(good).shape[2] == 6
    bad = write_series(folder="bad", positions=[(0, 0, z) for z in (0, 2.6, 5, 7.5, 10, 12.5)])
    with pytest.raises(DataError, match="not evenly spaced"):
        read_dicom_series(bad)


def test_gantry_tilt_is_an_error_and_can_be_undone(write_series):
    array = np.zeros((6, 16, 8), np.int16)
    for k in range(6):
        array[k, 10 - k, 4] = 1000  # a straight vertical rod, drawn on slices that slide one row per slice
    folder = write_series(array, positions=[(0, ROW_MM * k, STEP_MM * k) for k in range(6)])
    with pytest.raises(DataError, match=r"gantry tilt of 16\.70 degrees.*tilt='correct'"):
        read_dicom_series(folder)
    straight = read_dicom_series(folder, tilt="correct")
    rows = straight.array_XYZ.argmax(1)[4]
    assert len(set(rows.tolist())) == 1
    y = -(straight.affine @ [4, rows[0], 0, 1])[1]
    assert y == pytest.approx(10 * ROW_MM)  # row 10 of the first slice, which starts at y = 0


def test_localisers_are_left_out(write_series):
    folder = write_series()
    write_series(
        stored(1), prefix="loc", orientation=(0, 1, 0, 0, 0, -1), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    volume = read_dicom_series(folder)
    assert volume.shape == (8, 10, 6)
    assert "1 localisers left out" in volume.provenance
    write_series(stored(1), prefix="odd", orientation=(0, 1, 0, 0, 0, -1))
    assert "1 slices of another direction left out" in read_dicom_series(folder).provenance


def test_slices_stored_twice_count_once_and_different_images_at_one_place_are_an_error(write_series):
    folder = write_series()
    write_series(prefix="copy")
    volume = read_dicom_series(folder)
    assert volume.shape == (8, 10, 6)
    assert "6 duplicate slices left out" in volume.provenance
    write_series(stored() + 1, prefix="echo")
    with pytest.raises(DataError, match="several acquisitions or echoes"):
        read_dicom_series(folder)


def test_several_series_are_listed_and_one_can_be_chosen(write_series):
    folder = write_series()
    write_series(stored(3), prefix="b", uid="1.2.3.5")
    with pytest.raises(
        DataError, match=r"holds 2 series; choose one(.|\n)*1\.2\.3\.4: 6 images, CT(.|\n)*1\.2\.3\.5: 3"
    ):
        read_dicom_series(folder)
    assert read_dicom_series(folder, series="1.2.3.5").shape[2] == 3
    with pytest.raises(DataError, match="no series '9'"):
        read_dicom_series(folder, series="9")


def test_slices_without_position_or_of_other_sizes_are_refused(write_series):
    def no_position(k, dataset):
        if k == 2:
            del dataset.ImagePositionPatient

    with pytest.raises(DataError, match=r"lacks ImagePositionPatient"):
        read_dicom_series(write_series(folder="a", change=no_position))
    folder = write_series(folder="b", positions=[(0, 0, STEP_MM * k) for k in range(6)])
    write_series(stored(1, 5, 4), folder="b", prefix="small", positions=[(0, 0, 15)])
    with pytest.raises(DataError, match=r"differ in size: .*6 of 10 x 8"):
        read_dicom_series(folder)


def test_one_damaged_slice_is_named(write_series):
    folder = write_series()
    victim = sorted(folder.iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(
        DataError, match=rf"{victim.name}: its pixel data cannot be decoded \(Explicit VR Little Endian"
    ):
        read_dicom_series(folder)


def test_folders_without_dicom_say_so(tmp_path):
    with pytest.raises(DataError, match="holds no DICOM file"):
        read(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "absent")


def test_subfolders_are_searched_when_the_folder_itself_holds_none(write_series):
    folder = write_series()
    (folder / "notes.txt").write_text("not an image")
    assert read(folder.parent).shape == (8, 10, 6)


def test_enhanced_frames_are_ordered_and_rescaled_each_for_itself(write_enhanced):
    heights = [5.0, 0.0, 2.5]
    volume = read_dicom_image(write_enhanced(stored(3), heights))
    order = np.argsort(heights)
    expected = np.stack([stored(3)[i] * (1.0 + i) - 1000 for i in order])
    np.testing.assert_array_equal(volume.array_XYZ, expected.transpose(2, 1, 0))
    assert volume.units == "HU"
    assert volume.spacing == pytest.approx((COLUMN_MM, ROW_MM, STEP_MM))


def test_enhanced_geometry_for_other_frames_is_refused(write_enhanced):
    with pytest.raises(DataError, match="3 frames and geometry for 2"):
        read_dicom_image(write_enhanced(stored(3), [0.0, 1.0]))
