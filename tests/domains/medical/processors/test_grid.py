"""The model grid: 48 orientations, spacing, footprint averages, labels there and back."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from core.errors import ConfigError
from domains.medical.geometry import Volume
from domains.medical.processors.grid import (
    Axis,
    canonical,
    labels_to_grid,
    labels_to_scan,
    model_grid,
    to_grid,
    to_grid_max,
    uncanonical,
)

ORIENTATIONS = [(p, s) for p in permutations(range(3)) for s in product((1, -1), repeat=3)]


def smooth(shape, seed=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    return (gaussian_filter(noise, 2) * 3000 - 300).astype(np.float32)


def turned(volume: Volume, order, signs) -> Volume:
    """The same anatomy stored with other array axes."""
    array, matrix = volume.array_XYZ.transpose(order), np.zeros((4, 4))
    matrix[3, 3] = 1
    for new, old in enumerate(order):
        matrix[old, new] = 1
    for axis, sign in enumerate(signs):
        if sign < 0:
            flip = np.eye(4)
            flip[axis, axis], flip[axis, 3] = -1, array.shape[axis] - 1
            array, matrix = np.flip(array, axis), matrix @ flip
    return Volume(array, volume.affine @ matrix, volume.units)


AFFINE = np.diag([2.0, 2.0, 5.0, 1.0]) + np.array([[0, 0, 0, -40], [0, 0, 0, -30], [0, 0, 0, 10], [0, 0, 0, 0]])
SCAN = Volume(smooth((20, 18, 12)), AFFINE, "HU")


def test_there_are_48_orientations():
    assert len({turned(SCAN, *how).orientation for how in ORIENTATIONS}) == 48


@pytest.mark.parametrize("how", ORIENTATIONS)
def test_the_same_anatomy_in_any_axis_order_is_the_same_canonical_scan(how):
    scan = turned(SCAN, *how)
    found, expected = canonical(scan), canonical(SCAN)
    np.testing.assert_array_equal(found.array_XYZ, expected.array_XYZ)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-9)
    np.testing.assert_array_equal(uncanonical(found.array_XYZ, scan), scan.array_XYZ)
    assert found.orientation == "LPS"


def test_an_oblique_scan_keeps_its_voxels():
    angle = np.deg2rad(20)
    rotation = np.eye(4)
    rotation[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    found = canonical(Volume(SCAN.array_XYZ, rotation @ AFFINE, "HU"))
    np.testing.assert_array_equal(found.array_XYZ, canonical(SCAN).array_XYZ)


@pytest.mark.parametrize(("thin", "axes"), [(0, "PIL"), (1, "LIP"), (2, "LPS")])
def test_one_slice_of_any_direction_becomes_the_slice_of_the_grid(thin, axes):
    one = Volume(np.take(SCAN.array_XYZ, [4], axis=thin), AFFINE, "HU")
    for how in ORIENTATIONS[::5]:
        scan = turned(one, *how)
        found = canonical(scan)
        assert (found.orientation, found.shape[2]) == (axes, 1)
        np.testing.assert_array_equal(found.array_XYZ, canonical(one).array_XYZ)
        np.testing.assert_array_equal(uncanonical(found.array_XYZ, scan), scan.array_XYZ)


def test_the_grid_shares_its_centre_with_the_scan():
    grid = model_grid((12, 18, 20), (5.0, 2.0, 2.0), spacing=(3.0, 4.0, 1.0), size=(10, 10, 10))
    for axis, n in zip(grid.axes, (12, 18, 20), strict=True):
        assert axis.centres.mean() == pytest.approx((n - 1) / 2)
    assert grid.spacing == (3.0, 4.0, 1.0)


def test_without_spacing_the_scan_fills_the_grid_with_square_pixels():
    grid = model_grid((12, 18, 20), (5.0, 2.0, 2.0), spacing=None, size=(6, 10, 10))
    assert grid.spacing == (10.0, 4.0, 4.0)  # 40 mm of columns over 10; 36 mm of rows leave a margin
    assert grid.s.inside.all()
    assert grid.w.inside.all()


def test_without_size_the_grid_covers_the_scan():
    grid = model_grid((12, 18, 20), (5.0, 2.0, 2.0), spacing=(3.0, 4.0, 1.5), size=None)
    assert grid.shape == (20, 9, 27)
    with pytest.raises(ConfigError, match="spacing and size are both None"):
        model_grid((12, 18, 20), (5.0, 2.0, 2.0), spacing=None, size=None)


def test_one_slice_stays_one_slice():
    grid = model_grid((1, 18, 20), (8.0, 2.0, 2.0), spacing=(3.0, 2.0, 2.0), size=(6, 18, 20))
    assert grid.s.inside.tolist() == [False, False, False, True, False, False]
    x = to_grid(np.ones((1, 18, 20), np.float32), grid, air=-5.0)
    assert (x[3] == 1).all()
    assert (x[[0, 1, 2, 4, 5]] == -5).all()
    assert grid.spacing[0] == 8.0


def test_an_unchanged_grid_changes_nothing():
    array = smooth((8, 9, 10))
    grid = model_grid(array.shape, (5.0, 2.0, 2.0), spacing=(5.0, 2.0, 2.0), size=array.shape)
    np.testing.assert_allclose(to_grid(array, grid, air=-1024.0), array, rtol=1e-6)


def test_padding_is_air_and_cropping_is_central():
    array = smooth((4, 6, 6)) + 500
    grid = model_grid(array.shape, (1.0, 1.0, 1.0), spacing=(1.0, 1.0, 1.0), size=(8, 4, 6))
    x = to_grid(array, grid, air=-1024.0)
    np.testing.assert_allclose(x[2:6], array[:, 1:5], rtol=1e-5)
    assert (x[:2] == -1024).all()
    assert (x[6:] == -1024).all()


def test_axes_that_get_finer_are_interpolated_linearly():
    array = smooth((6, 1, 7)).repeat(3, axis=1)
    grid = model_grid(array.shape, (5.0, 1.0, 4.0), spacing=(2.0, 1.0, 1.0), size=(12, 3, 20))
    found = to_grid(array, grid, air=0.0)
    along = np.apply_along_axis(lambda line: np.interp(grid.s.centres, np.arange(6), line), 0, array)
    expected = np.apply_along_axis(lambda line: np.interp(grid.w.centres, np.arange(7), line), 2, along)
    inside = np.ix_(grid.s.inside, range(3), grid.w.inside)
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3)


def test_averages_equal_block_means_where_blocks_fit():
    array = smooth((8, 12, 20))
    grid = model_grid(array.shape, (1.0, 1.0, 1.0), spacing=(2.0, 3.0, 5.0), size=(4, 4, 4))
    expected = array.reshape(4, 2, 4, 3, 4, 5).mean((1, 3, 5))
    np.testing.assert_allclose(to_grid(array, grid, air=0.0), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("factor", [1.0, 1.7, 3.0, 5.33])
def test_a_small_bright_thing_keeps_its_mass_wherever_it_lies(factor):
    """Point samples would see it now and then; its sum over the grid is exact here."""
    grid = model_grid((32, 32, 32), (1.0, 1.0, 1.0), spacing=(factor,) * 3, size=(36, 36, 36))
    for place in ((15, 15, 15), (14, 16, 17), (11, 20, 13)):
        array = np.full((32, 32, 32), -1000, np.float32)
        array[place] += 3000
        x = to_grid(array, grid, air=-1000.0)
        assert (x + 1000).sum() * factor**3 == pytest.approx(3000, rel=1e-3)
        assert x.max() > -1000 + 3000 / (2 * factor) ** 3 * 0.99


def brute_max(array: np.ndarray, grid, air: float) -> np.ndarray:
    """The definition, voxel by voxel."""
    out = np.full(grid.shape, air, np.float32)
    for place in np.ndindex(grid.shape):
        held = []
        for axis, j, n in zip(grid.axes, place, array.shape, strict=True):
            centre, half = axis.first + axis.step * j, axis.step / 2
            inside = [i for i in range(n) if centre - half - 1e-6 <= i < centre + half - 1e-6]
            if not inside and -0.5 < centre < n - 0.5:
                inside = [min(range(n), key=lambda i, c=centre: abs(i - c))]
            held.append(inside)
        if all(held):
            out[place] = array[np.ix_(*held)].max()
    return out


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("spacing", "size"),
    [
        ((3.0, 2.0, 1.0), (3, 4, 5)),  # integer ratios; cut off in the plane
        ((2.3, 1.7, 3.1), (4, 7, 4)),  # non-integer ratios, a margin of air on some sides
        ((0.4, 2.5, 1.0), (25, 5, 13)),  # finer along the body, air around rows and columns
        ((0.7, 0.61, 0.9), (20, 24, 20)),  # finer everywhere, air beyond
        ((4.0, 6.0, 5.0), (9, 9, 9)),  # far larger than the scan: whole slabs of air
        ((7.9, 1.9, 40.0), (3, 5, 2)),  # a footprint in the scan that holds no centre; one larger than the scan
    ],
)
def test_maxima_are_those_of_the_voxels_whose_centres_a_footprint_holds(spacing, size, order):
    array = np.asarray(smooth((7, 9, 11)), order=order)
    before = array.copy()
    grid = model_grid(array.shape, (1.0, 1.0, 1.0), spacing=spacing, size=size)
    found = to_grid_max(array, grid, air=-1024.0)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, brute_max(array, grid, -1024.0))
    np.testing.assert_array_equal(array, before)


def test_a_footprint_without_a_centre_takes_the_nearest_voxel():
    axis = Axis(first=-0.45, step=1.2, count=5, scan_count=4)  # borders -1.05, 0.15, 1.35, 2.55, 3.75, 4.95
    start, stop = axis.footprints()
    assert list(zip(start, stop, strict=True)) == [(0, 1), (1, 2), (2, 3), (3, 4), (-1, 0)]
    axis = Axis(first=-0.45, step=0.5, count=4, scan_count=4)  # borders -0.7, -0.2, 0.3, 0.8, 1.3
    assert axis.footprints()[0].tolist() == [0, 0, 1, 1]
    end = Axis(first=0.9, step=1.2, count=3, scan_count=3)  # borders 0.3, 1.5, 2.7, 3.9; the last centre is beyond
    assert [f.tolist() for f in end.footprints()] == [[1, 2, -1], [2, 3, 0]]


def test_a_voxel_on_a_border_counts_once_and_a_coarser_grid_sees_every_voxel():
    rng = np.random.default_rng(1)
    for n, step, count in ((64, 3.2, 20), (30, 2.5, 12), (9, 1.5, 7), (50, 10 / 3, 16)):
        axis = model_grid((n, 1, 1), (1.0,) * 3, spacing=(step, 1.0, 1.0), size=(count, 1, 1)).s
        start, stop = axis.footprints()
        counts = np.bincount(np.concatenate([np.arange(*span) for span in zip(start, stop, strict=True)]), minlength=n)
        assert (counts == 1).all()
        line = rng.normal(size=(n, 1, 1)).astype(np.float32)
        grid = model_grid(line.shape, (1.0,) * 3, spacing=(step, 1.0, 1.0), size=(count, 1, 1))
        assert to_grid_max(line, grid, air=-9.0).max() == line.max()


def test_an_unchanged_grid_has_the_scan_itself_as_maxima():
    array = smooth((8, 9, 10))
    grid = model_grid(array.shape, (5.0, 2.0, 2.0), spacing=(5.0, 2.0, 2.0), size=array.shape)
    np.testing.assert_array_equal(to_grid_max(array, grid, air=-1024.0), array)


def test_one_slice_stays_one_slice_of_maxima():
    grid = model_grid((1, 18, 20), (8.0, 2.0, 2.0), spacing=(3.0, 2.0, 2.0), size=(6, 18, 20))
    x = to_grid_max(np.ones((1, 18, 20), np.float32), grid, air=-5.0)
    assert (x[3] == 1).all()
    assert (x[[0, 1, 2, 4, 5]] == -5).all()


def test_another_spacing_of_the_same_anatomy_is_the_same_up_to_interpolation():
    def sampled(step):  # a smooth function of the position, on grids with one centre
        z, y, x = np.meshgrid(*[np.arange(-30 + step / 2, 30, step)] * 3, indexing="ij")
        return (500 * np.sin(x / 9) * np.cos(y / 11) * np.sin(z / 10 + 1)).astype(np.float32)

    found = []
    for step in (0.5, 1.0, 1.5):
        array = sampled(step)
        grid = model_grid(array.shape, (step,) * 3, spacing=(4.0, 3.0, 3.0), size=(12, 16, 16))
        found.append(to_grid(array, grid, air=-1024.0))
    assert np.abs(found[0] - found[1]).max() < 5
    assert np.abs(found[0] - found[2]).max() < 10


def test_labels_go_to_the_grid_and_back_by_nearest_neighbour():
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 9, (6, 5, 7))
    fine = coarse.repeat(2, 0).repeat(3, 1).repeat(4, 2)
    grid = model_grid(fine.shape, (1.0, 1.0, 1.0), spacing=(2.0, 3.0, 4.0), size=coarse.shape)
    np.testing.assert_array_equal(labels_to_grid(fine, grid), coarse)
    np.testing.assert_array_equal(labels_to_scan(coarse, grid), fine)


def test_labels_outside_are_unknown_on_the_grid_and_background_on_the_scan():
    grid = model_grid((4, 4, 4), (1.0, 1.0, 1.0), spacing=(1.0, 1.0, 1.0), size=(6, 2, 4))
    on_grid = labels_to_grid(np.ones((4, 4, 4), int), grid)
    assert (on_grid[[0, 5]] == -1).all()
    assert (on_grid[1:5] == 1).all()
    back = labels_to_scan(np.full((6, 2, 4), 3), grid)
    assert (back[:, [0, 3]] == 0).all()
    assert (back[:, 1:3] == 3).all()


def test_footprints_cover_the_scan_exactly_once():
    axis = Axis(first=1.2, step=3.4, count=9, scan_count=30)
    weights = axis.area_weights()
    np.testing.assert_allclose(weights[axis.centres < 27].sum(1), 1, rtol=1e-6)
    covered = weights[:, 3:28].sum(0) * 3.4
    np.testing.assert_allclose(covered, 1, rtol=1e-5)
