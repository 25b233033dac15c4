"""Finds what can be embedded below a folder: pictures, scans, and folders that hold one DICOM series."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError
from domains.medical.data.folder_csv import modality_of
from domains.medical.io import dicom_file, nifti, picture
from domains.medical.io.guard import reading

TOMOGRAPHIC = {"CT", "MR", "PT"}
SLICES = 2  # a series with slices at this many places is a scan


@dataclass(frozen=True, slots=True)
class _Slice:
    """What the header of a DICOM file says about its place in a scan; series is "" when it belongs to none."""

    series: str = ""
    place: str = ""


def find_inputs(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """(file or series folder, modality) of everything readable below `paths`, in the order of names.

    Below a folder, files of other kinds, hidden ones and DICOMDIR are passed over; a file that is named itself never
    is. What is of a known kind and cannot be read is left to the reader to name: also a folder that mixes the slices of
    several series, which is given as one.
    """
    for path in paths:
        if not path.is_dir():
            yield path, modality_of(path)
            continue
        for folder, below, names in os.walk(path):
            below[:] = sorted(name for name in below if not name.startswith("."))
            yield from _folder(Path(folder), sorted(names))


def _folder(folder: Path, names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    files = [folder / name for name in names if not name.startswith(".") and name.upper() != "DICOMDIR"]
    found = {path: _slice_of(path) for path in files if _is_other(path) and dicom_file.is_dicom(path)}
    places: dict[str, set[str]] = defaultdict(set)
    for one in found.values():
        places[one.series].add(one.place)
    scans = {series for series, at in places.items() if series and len(at) >= SLICES}
    if scans:
        yield folder, "ct"
    for path in files:
        known = found[path].series not in scans if path in found else not _is_other(path)
        if known and not (path.suffix.lower() == ".img" and path.with_suffix(".hdr") in files):
            yield path, modality_of(path)


def _is_other(path: Path) -> bool:
    """Neither NIfTI nor a picture by its name: its content decides."""
    return not path.name.lower().endswith((*nifti.SUFFIXES, *picture.SUFFIXES))


def _slice_of(path: Path) -> _Slice:
    try:
        with reading(path, "DICOM file"):
            header = dicom_file.open_dicom(path, pixels=False)
            if dicom_file.code(header, "Modality") not in TOMOGRAPHIC or dicom_file.frame_count(header) > 1:
                return _Slice()
            return _Slice(str(header.get("SeriesInstanceUID") or ""), str(header.get("ImagePositionPatient")))
    except DataError:  # the reader will say what is wrong
        return _Slice()
