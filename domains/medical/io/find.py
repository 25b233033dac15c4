"""Finds what can be embedded below a folder: pictures, scans, and folders that hold one DICOM series."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from domains.medical.data.folder_csv import modality_of
from domains.medical.io import dicom_file, nifti, picture

SLICES = 2  # a folder with this many DICOM files of CT or MR slices is one scan


def find_inputs(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """(file or series folder, modality) of everything readable below `paths`, in the order of names.

    Files of other kinds are passed over; what is of a known kind and cannot be read is left to the reader to name.
    """
    for path in paths:
        if path.is_dir():
            for folder, below, names in os.walk(path):
                below.sort()
                yield from _folder(Path(folder), sorted(names))
        elif _is_known(path):
            yield path, modality_of(path)


def _folder(folder: Path, names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    files = [folder / name for name in names if not name.startswith(".")]
    scans = [path for path in files if _is_slice(path)]
    if len(scans) >= SLICES and len(_series(scans)) == 1:
        yield folder, "ct"
        files = [path for path in files if path not in set(scans)]
    for path in files:
        if _is_known(path):
            yield path, modality_of(path)


def _is_known(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((*nifti.SUFFIXES, *picture.SUFFIXES)) or dicom_file.is_dicom(path)


def _is_slice(path: Path) -> bool:
    return dicom_file.is_dicom(path) and modality_of(path) == "xray" and _series([path]) != {""}


def _series(paths: Sequence[Path]) -> set[str]:
    """Series identifiers of tomographic slices; an empty text for what is none."""
    from pydicom import dcmread

    found = set()
    for path in paths:
        try:
            tags = dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Modality"])
            tomographic = str(tags.get("Modality", "")) in {"CT", "MR", "PT"}
            found.add(str(tags.get("SeriesInstanceUID", "")) if tomographic else "")
        except Exception:  # the header is damaged: the reader will say how
            found.add("")
    return found
