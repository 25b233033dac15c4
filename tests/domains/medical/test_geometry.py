"""Volume and Radiograph keep their contract."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from domains.medical.geometry import Radiograph, Volume, check_affine, orthogonalised, window

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4) * 100 - 1000
RAS = np.diag([1.0, 2.0, 3.0, 1.0])


@pytest.mark.parametrize(
    ("matrix", "code"),
    [
        (np.diag([1.0, 2, 3]), "RAS"),
        (np.diag([-1.0, -2, 3]), "LPS"),
        (np.array([[0, 0, -1.0], [1, 0, 0], [0, 1, 0]]), "ASL"),
        (np.array([[0.9, -0.436, 0], [0.436, 0.9, 0], [0, 0, -1]]), "RAI"),
    ],
)
def test_orientation_names_where_each_array_axis_points(matrix, code):
    affine = np.eye(4)
    affine[:3, :3] = matrix
    assert Volume(ARRAY, affine).orientation == code


def test_spacing_is_the_length_of_the_columns():
    assert Volume(ARRAY, RAS).spacing == (1.0, 2.0, 3.0)


def test_rescale_applies_once_and_only_to_raw_values():
    raw = Volume(ARRAY, RAS, "raw", ("made",))
    hu = raw.rescaled(2.0, -5.0)
    np.testing.assert_array_equal(hu.array_XYZ, ARRAY * 2 - 5)
    assert (hu.units, hu.provenance) == ("HU", ("made", "rescale 2 -5"))
    with pytest.raises(DataError, match="already HU; slope and intercept apply to raw values, once"):
        hu.rescaled(2.0, -5.0)
    with pytest.raises(DataError, match="slope 0"):
        raw.rescaled(0.0, 1.0)


def test_window_needs_hounsfield_units_and_ends_them():
    windowed = Volume(ARRAY, RAS, "HU").windowed(-600, 1500)
    np.testing.assert_allclose(windowed.array_XYZ, np.clip((ARRAY + 1350) / 1500, 0, 1), atol=1e-6)
    assert windowed.units == "unit"
    for units in ("raw", "unit", "z"):
        with pytest.raises(DataError, match=rf"needs Hounsfield units, the values are {units}"):
            Volume(ARRAY, RAS, units).windowed(40, 400)


def test_window_maps_its_edges_to_zero_and_one():
    np.testing.assert_allclose(window(np.array([-160.0, 40.0, 240.0, 999.0]), 40, 400), [0, 0.5, 1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("array", "affine", "text"),
    [
        (ARRAY[0], RAS, "three axes"),
        (ARRAY[:0], RAS, "at least one voxel"),
        (ARRAY, np.eye(3), "4 x 4 finite"),
        (ARRAY, np.diag([1.0, np.nan, 1, 1]), "4 x 4 finite"),
        (ARRAY, np.diag([1.0, 0, 1, 1]), r"voxel spacing \(1, 0, 1\) mm"),
        (ARRAY, np.diag([1.0, 5000, 1, 1]), r"voxel spacing \(1, 5000, 1\) mm"),
        (ARRAY, np.eye(4) + 0.1 * np.eye(4, k=1), "not at right angles"),
    ],
)
def test_what_cannot_be_a_scan_is_refused(array, affine, text):
    with pytest.raises(DataError, match=text):
        Volume(array, affine)


def test_orthogonalised_is_the_identity_on_proper_affines():
    angle = 0.3
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:2, :2] = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [1.0, 2.0]
    affine[:3, 3] = [4, 5, 6]
    np.testing.assert_allclose(orthogonalised(affine, (5, 6, 7)), affine, atol=1e-12)
    sheared = affine.copy()
    sheared[0, 2] = 0.2
    check_affine(orthogonalised(sheared, (5, 6, 7)))


def test_grids_are_the_same_within_a_hundredth_of_a_millimetre():
    near, far = RAS.copy(), RAS.copy()
    near[0, 3], far[0, 3] = 0.009, 0.02
    volume = Volume(ARRAY, RAS)
    assert volume.same_grid(Volume(ARRAY, near))
    assert not volume.same_grid(Volume(ARRAY, far))
    assert not volume.same_grid(Volume(ARRAY[:1], RAS))


def test_a_picture_as_a_slice_keeps_rows_columns_and_spacing():
    picture = Radiograph(np.eye(3, 4, dtype=np.float32), (0.5, 0.25))
    volume = picture.as_volume()
    assert (volume.orientation, volume.shape, volume.spacing) == ("LPS", (4, 3, 1), (0.25, 0.5, 1.0))
    np.testing.assert_array_equal(volume.array_XYZ[:, :, 0].T, picture.array_HW)
