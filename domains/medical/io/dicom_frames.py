"""Where each frame of a DICOM file lies and what its values mean: single-frame files and enhanced multi-frame ones.

All positions are in DICOM's LPS millimetres here; `dicom_stack` converts to RAS+.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import DataError
from domains.medical.io.dicom_file import code, frame_count, number, numbers

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SLICE_MODALITIES = ("CT", "MR", "PT")
HU_TYPES = ("", "HU", "US")  # RescaleType of CT: absent means HU, "US" is unspecified and used for HU by old scanners


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One slice, not yet decoded.

    position, along_row, along_column: (3,) LPS mm and unit vectors (the directions of growing column and row index).
    pixel_mm: (row, column) spacing. slope, intercept: None when the file does not state them. thickness: mm.
    """

    path: Path
    index: int | None  # frame within the file; None when the file holds one image
    shape: tuple[int, int]
    position: np.ndarray | None
    along_row: np.ndarray | None
    along_column: np.ndarray | None
    pixel_mm: tuple[float, float] | None
    slope: float | None
    intercept: float | None
    thickness: float | None
    modality: str
    rescale_type: str
    localiser: bool

    @property
    def in_hounsfield(self) -> bool:
        stated = self.slope is not None and self.intercept is not None
        return self.modality == "CT" and stated and self.rescale_type in HU_TYPES


def frames_of(dataset: Dataset, path: Path) -> list[Frame]:
    """The frames of one parsed file, in file order. Raises DataError for unusable geometry."""
    count = frame_count(dataset)
    offsets = numbers(dataset, "GridFrameOffsetVector")
    frames = []
    for i in range(count):
        groups = _groups(dataset, i)
        orientation = _from(groups, "PlaneOrientationSequence", "ImageOrientationPatient", dataset)
        position = _from(groups, "PlanePositionSequence", "ImagePositionPatient", dataset)
        along_row, along_column = _directions(orientation)
        origin = np.array(position) if len(position) == 3 else None
        if origin is not None and along_row is not None and along_column is not None and len(offsets) == count > 1:
            origin = origin + np.cross(along_row, along_column) * (offsets[i] - offsets[0])
        spacing = _from(groups, "PixelMeasuresSequence", "PixelSpacing", dataset)
        thickness = _from(groups, "PixelMeasuresSequence", "SliceThickness", dataset)
        slope = _from(groups, "PixelValueTransformationSequence", "RescaleSlope", dataset)
        intercept = _from(groups, "PixelValueTransformationSequence", "RescaleIntercept", dataset)
        frames.append(
            Frame(
                path=path,
                index=i if count > 1 else None,
                shape=(int(dataset.Rows), int(dataset.Columns)),
                position=origin,
                along_row=along_row,
                along_column=along_column,
                pixel_mm=(spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None,
                slope=_slope(slope),
                intercept=intercept[0] if intercept else None,
                thickness=thickness[0] if thickness and thickness[0] > 0 else None,
                modality=code(dataset, "Modality"),
                rescale_type=_rescale_type(groups, dataset),
                localiser=_is_localiser(groups, dataset),
            )
        )
    return frames


def is_stack(dataset: Dataset) -> bool:
    """Whether the file is a slice, or slices, of a body rather than a picture."""
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or dataset.PhotometricInterpretation == "PALETTE COLOR":
        return False
    if frame_count(dataset) > 1:
        return "PerFrameFunctionalGroupsSequence" in dataset or number(dataset, "GridFrameOffsetVector") is not None
    return code(dataset, "Modality") in SLICE_MODALITIES


def _groups(dataset: Dataset, i: int) -> list[Dataset]:
    """Where a frame's attributes may stand, most specific first."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    if len(per_frame) not in (0, frame_count(dataset)):
        raise DataError(f"it has {frame_count(dataset)} frames and geometry for {len(per_frame)}; copy it again")
    return [*per_frame[i : i + 1], *shared[:1]]


def _from(groups: Sequence[Dataset], macro: str, keyword: str, dataset: Dataset) -> tuple[float, ...]:
    for group in groups:
        items = group.get(macro) or []
        if len(items) and items[0].get(keyword) is not None:
            return numbers(items[0], keyword)
    return numbers(dataset, keyword)


def _slope(found: tuple[float, ...]) -> float | None:
    if found and found[0] == 0:
        raise DataError("its RescaleSlope is 0, which makes every value the same; correct the header")
    return found[0] if found else None


def _directions(orientation: tuple[float, ...]) -> tuple[np.ndarray | None, np.ndarray | None]:
    if not orientation:
        return None, None
    if len(orientation) != 6:
        raise DataError(f"its ImageOrientationPatient has {len(orientation)} numbers, not 6; correct the header")
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(row @ column) > 1e-2:
        raise DataError("its ImageOrientationPatient is not two unit vectors at a right angle; correct the header")
    row = row / lengths[0]
    column = column - (column @ row) * row  # decimal strings are rounded; make the angle exactly right
    return row, column / np.linalg.norm(column)


def _rescale_type(groups: Sequence[Dataset], dataset: Dataset) -> str:
    for group in groups:
        items = group.get("PixelValueTransformationSequence") or []
        if len(items):
            return code(items[0], "RescaleType")
    return code(dataset, "RescaleType")


def _is_localiser(groups: Sequence[Dataset], dataset: Dataset) -> bool:
    places = [*(item for group in groups for item in (group.get("CTImageFrameTypeSequence") or [])), dataset]
    kinds = [str(kind).upper() for place in places for kind in (place.get("FrameType") or place.get("ImageType") or [])]
    return "LOCALIZER" in kinds
