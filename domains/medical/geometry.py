"""Volume and Radiograph: pixel data together with everything needed to read them correctly.

Axes: a volume's array is indexed [X, Y, Z] by voxel; its affine maps voxel indices to millimetres in RAS+ (x grows to
the patient's right, y to the front, z to the head: the convention of NIfTI). DICOM and ITK use LPS; their readers here
convert. A radiograph's array is indexed [row, column] as it is displayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.errors import DataError

Units = Literal["raw", "HU", "z", "unit"]  # as stored; Hounsfield; zero mean and unit variance; [0, 1]
AIR_HU = -1024.0
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORTHOGONAL_WITHIN = 1e-3  # largest cosine between two axes that still counts as a right angle
GEOMETRY_WITHIN_MM = 1e-2  # how far the corners of two grids may lie apart to be the same grid
_CODES = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """One scan. Every transform returns a new volume and adds a line to `provenance` (which never names a person).

    array_XYZ: float32, finite, any memory order. affine: (4, 4) float64, voxel -> mm, RAS+, axes at right angles.
    units: what a value means. Raises DataError when array or affine cannot be a scan.
    """

    array_XYZ: np.ndarray  # noqa: N815
    affine: np.ndarray
    units: Units = "raw"
    provenance: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array = np.asarray(self.array_XYZ)
        if array.ndim != 3 or 0 in array.shape:
            raise DataError(f"a volume has three axes of at least one voxel; this array has shape {array.shape}")
        if self.units not in ("raw", "HU", "z", "unit"):
            raise DataError(f"units are raw, HU, z or unit; not {self.units!r}")
        object.__setattr__(self, "array_XYZ", array.astype(np.float32, copy=False))
        object.__setattr__(self, "affine", check_affine(self.affine))

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.array_XYZ.shape
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxel centres along X, Y, Z."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Three letters: where each array axis points, for instance "RAS" or "LPS" (the nearest of the 48 codes)."""
        letters = [""] * 3
        for axis, (patient_axis, sign) in enumerate(closest_axes(self.affine)):
            letters[axis] = _CODES[patient_axis][int(sign > 0)]
        return "".join(letters)

    def rescaled(self, slope: float, intercept: float) -> Volume:
        """Stored values to Hounsfield units, value * slope + intercept; only once: raises DataError unless raw."""
        if self.units != "raw":
            raise DataError(f"rescale: values are already {self.units}; slope and intercept apply to raw values, once")
        if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
            raise DataError(f"rescale: slope {slope} and intercept {intercept}; both finite, slope not 0")
        array = self.array_XYZ * np.float32(slope) + np.float32(intercept)
        return self.changed(array, f"rescale {slope:g} {intercept:g}", units="HU")

    def windowed(self, centre: float, width: float) -> Volume:
        """Hounsfield units to [0, 1] through one window; raises DataError unless the units are HU."""
        if self.units != "HU":
            raise DataError(f"window: needs Hounsfield units, the values are {self.units}; window a scan only once")
        array = window(self.array_XYZ, centre, width)
        return self.changed(array, f"window {centre:g}/{width:g}", units="unit")

    def changed(
        self, array_XYZ: np.ndarray, step: str, *, affine: np.ndarray | None = None, units: Units | None = None
    ) -> Volume:
        """The same scan after `step`, with what the step changed."""
        return replace(
            self,
            array_XYZ=array_XYZ,
            affine=self.affine if affine is None else affine,
            units=self.units if units is None else units,
            provenance=(*self.provenance, step),
        )

    def same_grid(self, other: Volume) -> bool:
        """Whether both have the same shape and their corners coincide within 0.01 mm."""
        return self.shape == other.shape and grid_distance(self.affine, other.affine, self.shape) <= GEOMETRY_WITHIN_MM


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """One projection or other single picture, as it is displayed: 0 is black (air), 1 is white.

    array_HW: float32 in [0, 1]. pixel_mm: (row, column) spacing, or None when unknown. view: "PA", "AP", "LATERAL", ...
    or "". laterality: "L", "R" or "".
    """

    array_HW: np.ndarray  # noqa: N815
    pixel_mm: tuple[float, float] | None = None
    view: str = ""
    laterality: str = ""
    provenance: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array = np.asarray(self.array_HW)
        if array.ndim != 2 or 0 in array.shape:
            raise DataError(f"a picture has rows and columns; this array has shape {array.shape}")
        object.__setattr__(self, "array_HW", array.astype(np.float32, copy=False))

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.array_HW.shape
        return rows, columns

    def as_volume(self) -> Volume:
        """The picture as one axial slice in display order (columns to the left of the patient, rows to the back)."""
        row_mm, column_mm = self.pixel_mm or (1.0, 1.0)
        affine = np.diag([-column_mm, -row_mm, 1.0, 1.0])
        return Volume(self.array_HW.T[:, :, None], affine, "raw", (*self.provenance, "one picture as one slice"))


def window(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """(values - lower) / width clipped to [0, 1], lower = centre - width / 2; all in Hounsfield units."""
    return np.clip((values - np.float32(centre - width / 2)) * np.float32(1 / width), 0, 1)


def check_affine(affine: np.ndarray) -> np.ndarray:
    """`affine` as (4, 4) float64. Raises DataError unless it is finite, invertible and has orthogonal axes."""
    affine = np.array(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise DataError(f"the affine must be 4 x 4 finite numbers; it is {affine.tolist()}")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not ((spacing > 1e-4) & (spacing < 1e3)).all():
        shown = ", ".join(f"{s:g}" for s in spacing)
        raise DataError(f"voxel spacing ({shown}) mm; a scan has 0.0001 to 1000 mm, correct the header")
    shear = axis_shear(affine)
    if shear > ORTHOGONAL_WITHIN:
        raise DataError(
            f"the axes are not at right angles (largest cosine {shear:.3g}, allowed {ORTHOGONAL_WITHIN:g}): a gantry "
            "tilt or a damaged header; resample the scan, or read it with sheared='nearest' to use the closest rotation"
        )
    return affine


def axis_shear(affine: np.ndarray) -> float:
    """Largest |cosine| between two voxel axes: 0 for a proper scan."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def orthogonalised(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The affine with the nearest orthogonal axes (polar decomposition), same spacing and same centre of the grid."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    u, _, vt = np.linalg.svd(affine[:3, :3] / spacing)
    fixed = np.eye(4)
    fixed[:3, :3] = (u @ vt) * spacing
    centre = (np.asarray(shape[:3], float) - 1) / 2
    fixed[:3, 3] = affine[:3, :3] @ centre + affine[:3, 3] - fixed[:3, :3] @ centre
    return fixed


def closest_axes(affine: np.ndarray) -> list[tuple[int, int]]:
    """For each voxel axis: the patient axis (0 = x) it runs along, and +1 or -1; each patient axis is used once."""
    from nibabel.orientations import io_orientation

    return [(int(axis), int(sign)) for axis, sign in io_orientation(affine)]


def grid_distance(affine: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """Largest distance in mm between the same corner voxel under two affines."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm(((affine - other) @ corners)[:3], axis=0).max())
