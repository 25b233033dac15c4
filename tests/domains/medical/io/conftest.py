"""Small DICOM series, written with the library's own classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
STEP_MM, ROW_MM, COLUMN_MM = 2.5, 0.75, 0.5


def anatomy(slices: int = 6, rows: int = 10, columns: int = 8) -> np.ndarray:
    """(K, H, W) int16 stored values, every one different."""
    return np.arange(slices * rows * columns, dtype=np.int16).reshape(slices, rows, columns)


def empty_file(path: Path, *, storage: str = CTImageStorage, modality: str = "CT") -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = storage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = modality, 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    return dataset


def with_pixels(dataset: FileDataset, array: np.ndarray) -> FileDataset:
    dataset.Rows, dataset.Columns = array.shape[-2:]
    if array.ndim == 3:
        dataset.NumberOfFrames = len(array)
    dataset.PixelData = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return dataset


@pytest.fixture
def write_series(tmp_path: Path) -> Callable[..., Path]:
    """Write slices as files in shuffled order of names and instance numbers; returns the folder."""

    def write(
        array_KHW: np.ndarray | None = None,
        *,
        folder: str = "series",
        positions: Sequence[Sequence[float]] | None = None,
        orientation: Sequence[float] = AXIAL,
        uid: str = "1.2.3.4",
        prefix: str = "",
        change: Callable[[int, FileDataset], None] | None = None,
        **tags: Any,
    ) -> Path:
        array_KHW = anatomy() if array_KHW is None else array_KHW
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        names = np.random.default_rng(3).permutation(len(array_KHW))
        for k, array in enumerate(array_KHW):
            path = place / f"{prefix}{names[k]:03d}.dcm"
            dataset = with_pixels(empty_file(path), array)
            dataset.SeriesInstanceUID, dataset.InstanceNumber = uid, int(names[k])
            dataset.ImagePositionPatient = (
                list(positions[k]) if positions is not None else [-20, -30, 100 + STEP_MM * k]
            )
            dataset.ImageOrientationPatient, dataset.PixelSpacing = list(orientation), [ROW_MM, COLUMN_MM]
            dataset.SliceThickness = 7  # wrong on purpose: positions decide
            dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1000
            for keyword, value in tags.items():
                setattr(dataset, keyword, value)
            if change is not None:
                change(k, dataset)
            dataset.save_as(path, enforce_file_format=True)
        return place

    return write


@pytest.fixture
def write_enhanced(tmp_path: Path) -> Callable[..., Path]:
    """One enhanced CT file, frames in the given order of positions."""

    def write(array_FHW: np.ndarray, heights: Sequence[float], name: str = "enhanced.dcm") -> Path:
        path = tmp_path / name
        dataset = with_pixels(empty_file(path, storage=EnhancedCTImageStorage), array_FHW)
        shared = Dataset()
        shared.PixelMeasuresSequence = Items([_item(PixelSpacing=[ROW_MM, COLUMN_MM], SliceThickness=1)])
        shared.PlaneOrientationSequence = Items([_item(ImageOrientationPatient=list(AXIAL))])
        dataset.SharedFunctionalGroupsSequence = Items([shared])
        frames = []
        for i, height in enumerate(heights):
            frame = Dataset()
            frame.PlanePositionSequence = Items([_item(ImagePositionPatient=[-20, -30, height])])
            frame.PixelValueTransformationSequence = Items(
                [_item(RescaleSlope=1 + i, RescaleIntercept=-1000, RescaleType="HU")]
            )
            frames.append(frame)
        dataset.PerFrameFunctionalGroupsSequence = Items(frames)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


def _item(**tags: Any) -> Dataset:
    item = pydicom.Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item
