"""The model's grid: from a scan in any axis order and spacing to slices of a fixed size, and back.

Shape legend: S, H, W = slices, rows and columns of the model grid; Z, Y, X = the same axes of the scan.
S runs from the feet to the head, H from front to back, W from the patient's right to left: each slice lies as a
radiologist sees it (front on top, the patient's right on the left of the picture).

A scan of one sagittal or coronal slice is not cut into lines: its one slice becomes the slice of the grid, rows running
to the feet, columns to the back or to the patient's left.

An oblique scan keeps its own axes (the nearest patient axes give them their names): turning it onto the patient's would
blow up the grid and blur thick slices. Voxels of the grid that lie outside the scan hold air.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError
from domains.medical.geometry import Volume, closest_axes

AXES = "LPS"  # array axes X, Y, Z (columns, rows, slices) run to the patient's left, back and head
SAGITTAL_SLICE, CORONAL_SLICE = "PIL", "LIP"
_PATIENT = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the grid: its voxels have their centres at `first + step * j`, in voxels of the scan's axis."""

    first: float
    step: float
    count: int
    scan_count: int

    @property
    def centres(self) -> np.ndarray:
        return self.first + self.step * np.arange(self.count)

    @property
    def inside(self) -> np.ndarray:
        """(count,) bool: whose centre lies within the scan."""
        return (self.centres > -0.5) & (self.centres < self.scan_count - 0.5)

    def nearest(self) -> np.ndarray:
        """(count,) index of the scan voxel that holds each centre; -1 outside the scan."""
        return np.where(self.inside, np.clip(np.floor(self.centres + 0.5), 0, self.scan_count - 1), -1).astype(int)

    def nearest_back(self) -> np.ndarray:
        """(scan_count,) index of the grid voxel that holds each scan voxel's centre; -1 outside the grid."""
        index = np.floor((np.arange(self.scan_count) - self.first) / self.step + 0.5).astype(int)
        return np.where((index >= 0) & (index < self.count), index, -1)

    def footprints(self) -> tuple[np.ndarray, np.ndarray]:
        """(count,) first and (count,) last + 1 index of the scan voxels whose centres each grid voxel holds.

        A grid voxel in the scan that holds no centre gets the nearest one; first is -1 and last + 1 is 0 outside.
        """
        edges = self.first + self.step * (np.arange(self.count + 1) - 0.5)
        # A centre on a border belongs to the upper voxel, wherever float noise has put the border.
        cuts = np.clip(np.ceil(edges - 1e-6), 0, self.scan_count).astype(int)
        empty, nearest = cuts[:-1] == cuts[1:], self.nearest()
        return np.where(empty, nearest, cuts[:-1]), np.where(empty, nearest + 1, cuts[1:])

    def linear_back(self) -> np.ndarray:
        """(scan_count, count) float32: weights of the two grid voxels around each scan voxel, linear."""
        place = np.clip((np.arange(self.scan_count) - self.first) / self.step, 0, self.count - 1)
        low = np.floor(place).astype(int)
        part = (place - low).astype(np.float32)
        rows, weights = np.arange(self.scan_count), np.zeros((self.scan_count, self.count), np.float32)
        weights[rows, low] = 1 - part
        weights[rows, np.minimum(low + 1, self.count - 1)] += part
        return weights

    def area_weights(self) -> np.ndarray:
        """(count, scan_count) float32: the share of each grid voxel's footprint that each scan voxel covers.

        Rows inside the scan sum to 1: a small bright thing is diluted by partial volume, and never missed.
        """
        low, high = self.centres - self.step / 2, self.centres + self.step / 2
        edges = np.arange(self.scan_count + 1) - 0.5
        overlap = np.minimum(high[:, None], edges[None, 1:]) - np.maximum(low[:, None], edges[None, :-1])
        return (np.clip(overlap, 0, None) / self.step).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Grid:
    """The model grid of one scan: axes S, H, W, and what leads back to the scan."""

    s: Axis
    h: Axis
    w: Axis
    spacing: tuple[float, float, float]

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        return self.s, self.h, self.w

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.s.count, self.h.count, self.w.count


def display_axes(volume: Volume) -> str:
    """Where the canonical axes of this scan run: AXES, unless it is one sagittal or coronal slice."""
    thin = [patient for (patient, _), n in zip(closest_axes(volume.affine), volume.shape, strict=True) if n == 1]
    if len(thin) != 1 or thin[0] == 2:
        return AXES
    return SAGITTAL_SLICE if thin[0] == 0 else CORONAL_SLICE


def canonical(volume: Volume) -> Volume:
    """The scan with its axes along `display_axes`: a permutation and flips, never an interpolation."""
    axes = display_axes(volume)
    orientation, _ = _monai()
    import torch
    from monai.data import MetaTensor

    tensor = MetaTensor(torch.from_numpy(np.array(volume.array_XYZ[None])), affine=torch.from_numpy(volume.affine))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        turned = orientation(axcodes=axes)(tensor)
    return volume.changed(turned.array[0], f"orient {axes}", affine=np.asarray(turned.affine, np.float64))


def model_grid(
    shape_ZYX: Sequence[int],
    spacing_ZYX: Sequence[float],
    *,
    spacing: Sequence[float] | None,
    size: Sequence[int] | None,
) -> Grid:
    """The grid for a canonical scan of this shape and spacing (mm), both ordered like S, H, W.

    spacing and size: the grid has this spacing and size, with the same centre as the scan; what does not fit is cut off
    and what is missing is air. spacing None: the scan fills the size, rows and columns with one common spacing. size
    None: as many voxels as cover the scan. A scan of one slice stays one slice, S // 2 of the grid.
    """
    if spacing is None and size is None:
        raise ConfigError("spacing and size are both None; give at least one, for instance size=(24, 96, 96)")
    extent = [n * mm for n, mm in zip(shape_ZYX, spacing_ZYX, strict=True)]
    if spacing is None:
        assert size is not None
        in_plane = max(extent[1] / size[1], extent[2] / size[2])
        spacing = (extent[0] / size[0], in_plane, in_plane)
    axes = []
    for axis, (n, old, new) in enumerate(zip(shape_ZYX, spacing_ZYX, spacing, strict=True)):
        if axis == 0 and n == 1:
            count = 1 if size is None else size[0]
            axes.append(Axis(-float(count // 2), 1.0, count, 1))
            continue
        step = float(np.round(new / old, 9))  # the same step for spacings that differ by float noise
        count = max(1, int(np.ceil(n / step - 1e-6))) if size is None else size[axis]
        axes.append(Axis((n - 1) / 2 - step * (count - 1) / 2, step, count, n))
    s_mm = spacing_ZYX[0] if shape_ZYX[0] == 1 else spacing[0]
    return Grid(axes[0], axes[1], axes[2], (float(s_mm), float(spacing[1]), float(spacing[2])))


def to_grid(array_ZYX: np.ndarray, grid: Grid, *, air: float) -> np.ndarray:
    """Values of a canonical scan on the model grid, (S, H, W) float32.

    Axes that get coarser are averaged over each voxel's footprint, because MONAI's resampling takes point samples and
    would miss what lies between them; MONAI then interpolates the axes that get finer, linearly.
    """
    x = np.ascontiguousarray(array_ZYX, np.float32)
    missing = np.zeros((1, 1, 1), np.float32)  # share of each voxel that lies beyond the scan
    for axis in sorted(range(3), key=lambda a: grid.axes[a].count / grid.axes[a].scan_count):
        if grid.axes[axis].step >= 1:
            weights = grid.axes[axis].area_weights()
            x = _along(axis, weights, x)
            covered = weights.sum(1).reshape([-1 if i == axis else 1 for i in range(3)])
            missing = 1 - (1 - missing) * covered
    if air != 0 and missing.any():
        x += np.float32(air) * missing
    if any(a.step < 1 for a in grid.axes):
        x = _interpolated(x, grid)
        for axis, a in enumerate(grid.axes):
            if a.step < 1:
                x = np.where(a.inside.reshape([-1 if i == axis else 1 for i in range(3)]), x, np.float32(air))
    return np.ascontiguousarray(x, np.float32)


def to_grid_max(array_ZYX: np.ndarray, grid: Grid, *, air: float) -> np.ndarray:
    """The largest value of a canonical scan in each voxel of the model grid, (S, H, W) in the type of the scan.

    A maximum-intensity projection through slabs as thick as the grid's slices: what is smaller than a voxel of the grid
    keeps its value, which `to_grid` averages away. Counted are the scan voxels whose centres a grid voxel holds; where
    there is none, the nearest voxel of the scan; outside the scan it is air.
    """
    x = array_ZYX
    # The axis of the largest stride first: whole planes or lines are compared, and little is left for the slow axes.
    # Axes that get finer come last, since they make the array larger.
    for axis in sorted(range(3), key=lambda a: (grid.axes[a].step < 1, -abs(array_ZYX.strides[a]))):
        x = _max_along(axis, grid.axes[axis], x, air)
    return np.ascontiguousarray(x)


def labels_to_grid(labels_ZYX: np.ndarray, grid: Grid) -> np.ndarray:
    """Labels of a canonical scan on the model grid by nearest neighbour, (S, H, W) int16; -1 outside the scan."""
    return _gather(labels_ZYX, [a.nearest() for a in grid.axes], outside=-1).astype(np.int16)


def labels_to_scan(labels_SHW: np.ndarray, grid: Grid) -> np.ndarray:
    """Labels on the model grid back on the canonical scan by nearest neighbour, (Z, Y, X); 0 outside the grid."""
    return _gather(labels_SHW, [a.nearest_back() for a in grid.axes], outside=0)


def scores_to_scan(scores_GSHW: np.ndarray, grid: Grid) -> np.ndarray:
    """Classes on the canonical scan, (Z, Y, X), from scores of G classes on the model grid; 0 outside the grid.

    Scores are interpolated linearly and the largest is taken: borders run smoothly where the grid is coarser than the
    scan. One slice at a time, since all scores at the scan's size would take gigabytes.
    """
    s_ZS, h_YH, w_XW = (axis.linear_back() for axis in grid.axes)
    z_in, y_in, x_in = (axis.nearest_back() >= 0 for axis in grid.axes)
    out = np.zeros((len(s_ZS), len(h_YH), len(w_XW)), np.min_scalar_type(len(scores_GSHW) - 1))
    for z in np.flatnonzero(z_in):
        between = np.flatnonzero(s_ZS[z])
        slice_GHW = np.tensordot(s_ZS[z, between], scores_GSHW[:, between].astype(np.float32), axes=(0, 1))
        out[z] = (h_YH @ slice_GHW @ w_XW.T).argmax(axis=0)
    return np.where(y_in[:, None] & x_in, out, out.dtype.type(0))


def uncanonical(array_XYZ: np.ndarray, volume: Volume) -> np.ndarray:
    """Undo `canonical`: an array on the canonical axes in the axis order and directions of `volume`."""
    wanted = [_PATIENT[letter] for letter in display_axes(volume)]
    order, flips = [], []
    for patient_axis, sign in closest_axes(volume.affine):
        source = next(i for i, (axis, _) in enumerate(wanted) if axis == patient_axis)
        order.append(source)
        flips.append(wanted[source][1] != sign)
    return np.flip(array_XYZ.transpose(order), tuple(axis for axis, flip in enumerate(flips) if flip))


def _gather(array: np.ndarray, indices: Sequence[np.ndarray], *, outside: int) -> np.ndarray:
    out = array[np.ix_(*(np.maximum(index, 0) for index in indices))]
    a, b, c = (index >= 0 for index in indices)
    return np.where(a[:, None, None] & b[:, None] & c, out, outside)


def _along(axis: int, weights: np.ndarray, x_ZYX: np.ndarray) -> np.ndarray:
    """weights (n, m) applied to one axis of length m, without moving axes about: x may be a gigabyte."""
    z, y, x = x_ZYX.shape
    if axis == 0:
        return (weights @ x_ZYX.reshape(z, -1)).reshape(-1, y, x)
    return np.matmul(weights, x_ZYX) if axis == 1 else (x_ZYX.reshape(-1, x) @ weights.T).reshape(z, y, -1)


def _max_along(axis: int, to: Axis, x_ZYX: np.ndarray, air: float) -> np.ndarray:
    """The maximum over each footprint of one axis; reads the array where it lies, in any memory order."""
    shape = [to.count if i == axis else n for i, n in enumerate(x_ZYX.shape)]
    out = np.full_like(x_ZYX, air, shape=shape)
    lines, made = np.moveaxis(x_ZYX, axis, 0), np.moveaxis(out, axis, 0)
    for j, (start, stop) in enumerate(zip(*to.footprints(), strict=True)):
        if start >= 0:
            np.max(lines[start:stop], axis=0, out=made[j])
    return out


def _interpolated(x: np.ndarray, grid: Grid) -> np.ndarray:
    """Linear interpolation along the axes that get finer; the others are on the grid already."""
    _, resample = _monai()
    import torch
    from monai.data import MetaTensor

    target = np.eye(4)
    for axis, a in enumerate(grid.axes):
        if a.step < 1:
            target[axis, axis], target[axis, 3] = a.step, a.first
    tensor = MetaTensor(torch.from_numpy(np.ascontiguousarray(x[None])), affine=torch.eye(4, dtype=torch.float64))
    made = resample(mode="bilinear", padding_mode="border", dtype=np.float64)(
        tensor, dst_affine=torch.from_numpy(target), spatial_size=grid.shape
    )
    return made.array[0].astype(np.float32)


def _monai() -> tuple[type, type]:
    """MONAI's transforms, imported on first use (seconds) without the warning handler that the import installs."""
    shown = warnings.showwarning
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from monai.transforms import Orientation, SpatialResample
    except ImportError:
        from core.errors import missing_extra

        raise missing_extra("monai", "medical") from None
    finally:
        warnings.showwarning = shown
    return Orientation, SpatialResample
