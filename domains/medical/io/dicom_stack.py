"""Slices to one volume: their order, their spacing, and whether they form a volume at all.

Shape legend: K = slices in ascending position along the normal of the slices, H, W = rows and columns.
Slices are ordered by the projection of ImagePositionPatient on the normal, never by InstanceNumber or file name, and
their distance comes from the same numbers, never from SliceThickness (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from core.errors import DataError
from domains.medical.geometry import LPS_FROM_RAS, ORTHOGONAL_WITHIN
from domains.medical.io.dicom_frames import Frame

SAME_PLACE_MM = 1e-2
GAP_WITHIN = 0.01  # gaps that differ by more than this share are not uniform
SAME_DIRECTION = 1 - 1e-4  # cosine

GapPolicy = Literal["raise", "resample"]
TiltPolicy = Literal["raise", "correct"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Frames in order, the slice positions along the normal (mm) and the sideways offset of each slice (mm, LPS)."""

    frames: list[Frame]
    along_K: np.ndarray  # noqa: N815
    sideways_K3: np.ndarray  # noqa: N815
    notes: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """Distance between slices, mm; of a single slice its thickness, or 1 when that is not stated."""
        if len(self.frames) > 1:
            return float(np.median(np.diff(self.along_K)))
        return self.frames[0].thickness or 1.0


def arrange(frames: Sequence[Frame]) -> Stack:
    """Order the frames of one series; localisers are left out. Raises DataError when they cannot be one volume."""
    body = [frame for frame in frames if not frame.localiser] or list(frames)
    notes = [f"{len(frames) - len(body)} localisers left out"] if len(body) < len(frames) else []
    if len(body) == 1:
        return Stack(body, np.zeros(1), np.zeros((1, 3)), tuple(notes))
    for frame in body:
        if frame.position is None or frame.along_row is None or frame.pixel_mm is None:
            raise DataError(
                f"{frame.path.name} lacks ImagePositionPatient, ImageOrientationPatient or PixelSpacing; without them "
                "slices cannot be put in order, leave it out or read it as one image"
            )
    kept = _of_main_direction(body)
    if len(kept) < len(body):
        notes.append(f"{len(body) - len(kept)} slices of another direction left out")
    _require_equal(kept)
    normal = np.cross(_given(kept[0].along_row), _given(kept[0].along_column))
    positions_K3 = np.stack([_given(frame.position) for frame in kept])
    order = np.argsort(positions_K3 @ normal, kind="stable")
    ordered, positions_K3 = [kept[i] for i in order], positions_K3[order]
    along_K = positions_K3 @ normal
    sideways_K3 = positions_K3 - along_K[:, None] * normal
    return Stack(ordered, along_K, sideways_K3 - sideways_K3[len(ordered) // 2], tuple(notes))


def without_duplicates(stack: Stack, array_KHW: np.ndarray) -> tuple[Stack, np.ndarray]:
    """Drop slices that are stored twice. Raises DataError when two different images claim one position."""
    twin = np.diff(stack.along_K) < SAME_PLACE_MM
    if not twin.any():
        return stack, array_KHW
    for k in np.flatnonzero(twin):
        if not np.array_equal(array_KHW[k], array_KHW[k + 1]):
            raise DataError(
                f"{int(twin.sum()) + 1} images share positions with others, and {stack.frames[k].path.name} and "
                f"{stack.frames[k + 1].path.name} differ: several acquisitions or echoes in one series; split them"
            )
    keep = np.concatenate([[True], ~twin])
    frames = [frame for frame, kept in zip(stack.frames, keep, strict=True) if kept]
    note = f"{int(twin.sum())} duplicate slices left out"
    return Stack(frames, stack.along_K[keep], stack.sideways_K3[keep], (*stack.notes, note)), array_KHW[keep]


def require_uniform(stack: Stack) -> None:
    """Raises DataError naming the places where slices are missing when gaps differ by more than 1%."""
    gaps = np.diff(stack.along_K)
    if len(gaps) == 0 or np.abs(gaps / stack.gap - 1).max() <= GAP_WITHIN:
        return
    wide = np.flatnonzero(gaps > 1.5 * stack.gap)
    places = [
        f"{round(gaps[k] / stack.gap) - 1} between {stack.along_K[k]:.2f} and {stack.along_K[k + 1]:.2f} mm"
        for k in wide[:5]
    ]
    found = f"slices are missing: {', '.join(places)}" if places else "the slices are not evenly spaced"
    raise DataError(
        f"{found} (gaps {gaps.min():.3f} to {gaps.max():.3f} mm, usually {stack.gap:.3f}); copy the series again, or "
        "read it with gaps='resample' to interpolate linearly between the slices there are"
    )


def require_upright(stack: Stack) -> None:
    """Raises DataError for a gantry tilt: slices that slide sideways from one to the next."""
    tilt = tilt_of(stack)
    if tilt > ORTHOGONAL_WITHIN:
        raise DataError(
            f"gantry tilt of {np.degrees(np.arctan(tilt)):.2f} degrees: slices slide sideways, voxels are not boxes; "
            "read it with tilt='correct' to shift each slice into place"
        )


def tilt_of(stack: Stack) -> float:
    """Largest sideways displacement between neighbouring slices, as a share of their distance."""
    if len(stack.frames) < 2:
        return 0.0
    steps = np.linalg.norm(np.diff(stack.sideways_K3, axis=0), axis=1)
    return float((steps / np.maximum(np.diff(stack.along_K), SAME_PLACE_MM)).max())


def evened(stack: Stack, array_KHW: np.ndarray) -> tuple[Stack, np.ndarray]:
    """Linear interpolation onto evenly spaced slices between the first and the last."""
    count = round((stack.along_K[-1] - stack.along_K[0]) / stack.gap) + 1
    wanted = np.linspace(stack.along_K[0], stack.along_K[-1], count)
    upper = np.clip(np.searchsorted(stack.along_K, wanted), 1, len(stack.along_K) - 1)
    low, high = stack.along_K[upper - 1], stack.along_K[upper]
    part = np.clip((wanted - low) / (high - low), 0, 1).astype(np.float32)[:, None, None]
    array = array_KHW[upper - 1] * (1 - part) + array_KHW[upper] * part
    sideways = np.stack([np.interp(wanted, stack.along_K, stack.sideways_K3[:, i]) for i in range(3)], axis=1)
    frames = [stack.frames[k] for k in upper]
    frames[0] = stack.frames[0]
    return Stack(frames, wanted, sideways, (*stack.notes, "uneven gaps interpolated")), array


def straightened(stack: Stack, array_KHW: np.ndarray, *, air: float) -> tuple[Stack, np.ndarray]:
    """Shift each slice sideways (linear interpolation) to where an upright gantry would have put it."""
    from scipy.ndimage import shift

    first = stack.frames[0]
    row_mm, column_mm = _given(first.pixel_mm)
    down_K = stack.sideways_K3 @ _given(first.along_column) / row_mm
    right_K = stack.sideways_K3 @ _given(first.along_row) / column_mm
    moved = [shift(a, (d, r), order=1, cval=air) for a, d, r in zip(array_KHW, down_K, right_K, strict=True)]
    notes = (*stack.notes, "gantry tilt corrected")
    return Stack(stack.frames, stack.along_K, np.zeros_like(stack.sideways_K3), notes), np.stack(moved)


def affine_of(stack: Stack) -> tuple[np.ndarray, tuple[str, ...]]:
    """(4, 4) voxel [X, Y, Z] = [column, row, slice] -> mm in RAS+, and what had to be assumed."""
    first, notes = stack.frames[0], []
    along_row, along_column = first.along_row, first.along_column
    if along_row is None or along_column is None:
        along_row, along_column = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
        notes.append("orientation unknown, axial assumed")
    if first.pixel_mm is None:
        notes.append("pixel spacing unknown, 1 mm assumed")
    row_mm, column_mm = first.pixel_mm or (1.0, 1.0)
    normal = np.cross(along_row, along_column)
    step = normal * stack.gap
    if len(stack.frames) > 1:
        step = step + (stack.sideways_K3[-1] - stack.sideways_K3[0]) / (len(stack.frames) - 1)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = along_row * column_mm, along_column * row_mm, step
    middle = stack.frames[len(stack.frames) // 2].position
    if middle is not None:  # sideways offsets are relative to the middle slice
        plane = middle - (middle @ normal) * normal
        start = stack.along_K[0] if len(stack.frames) > 1 else middle @ normal
        affine[:3, 3] = plane + normal * start + stack.sideways_K3[0]
    return LPS_FROM_RAS @ affine, tuple(notes)


def _of_main_direction(frames: Sequence[Frame]) -> list[Frame]:
    """The largest group of parallel slices: the rest are localisers without the tag."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if _parallel(frame, group[0]):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return max(groups, key=len)


def _parallel(a: Frame, b: Frame) -> bool:
    rows = _given(a.along_row) @ _given(b.along_row)
    columns = _given(a.along_column) @ _given(b.along_column)
    return bool(rows > SAME_DIRECTION and columns > SAME_DIRECTION)


def _require_equal(frames: Sequence[Frame]) -> None:
    kinds = Counter((frame.shape, tuple(round(mm, 4) for mm in _given(frame.pixel_mm))) for frame in frames)
    if len(kinds) > 1:
        shown = "; ".join(f"{n} of {s[0]} x {s[1]} pixels, {mm[0]:g} x {mm[1]:g} mm" for (s, mm), n in kinds.items())
        raise DataError(f"its slices differ in size: {shown}; split the series")


def _given(value: T | None) -> T:
    assert value is not None  # `arrange` has checked every frame
    return value
