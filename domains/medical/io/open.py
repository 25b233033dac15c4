"""One door for every kind of scan: what `encode("scan.nii.gz")`, training and embedding all read through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError
from domains.medical.data.source import ScanSource
from domains.medical.geometry import AIR_HU, Radiograph, Units, Volume
from domains.medical.io import dicom_file, nifti, picture
from domains.medical.io.content import fill_missing, require_signal

ACCEPTED = "a DICOM file or folder, NIfTI (.nii, .nii.gz, .hdr/.img), or a picture (.png, .jpg, .jpeg)"


def read(source: Any, *, units: Units = "raw") -> Volume | Radiograph:
    """Read a scan or picture.

    source: a path (file, or folder of one DICOM series); a `ScanSource`, whose slope, intercept and spacing replace the
    header's; a Volume or Radiograph (returned as it is); a pair (array_XYZ, affine in mm, RAS+); or a single picture as
    a 2D array in [0, 1]. units: what the values mean where the source cannot say (NIfTI, arrays); DICOM says itself.
    Raises DataError naming the file, the fault and the remedy.
    """
    if isinstance(source, (Volume, Radiograph)):
        return source
    if isinstance(source, ScanSource):
        return nifti.read_stored(source.path, source.slope, source.intercept, source.spacing)
    if isinstance(source, (str, Path)):
        return _read_path(Path(source), units)
    if isinstance(source, (tuple, list)) and len(source) == 2:
        volume = Volume(np.asarray(source[0]), np.asarray(source[1]), units, ("array",))
        array_XYZ, missing = fill_missing(volume.array_XYZ, AIR_HU if units == "HU" else None)
        require_signal(array_XYZ)
        return volume.changed(array_XYZ, f"{missing} missing values filled") if missing else volume
    if isinstance(source, np.ndarray) and source.ndim == 2:
        return _from_array(source)
    raise DataError(f"cannot read a {type(source).__name__}; give {ACCEPTED}, or (array, affine), or a Volume")


def _read_path(path: Path, units: Units) -> Volume | Radiograph:
    from domains.medical.io import dicom

    name = path.name.lower()
    if path.is_dir():
        return dicom.read_dicom_series(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder; check the path")
    if name.endswith(nifti.SUFFIXES):
        return nifti.read_nifti(path, units=units)
    if name.endswith(picture.SUFFIXES):
        return picture.read_picture(path)
    if dicom_file.is_dicom(path):
        return dicom.read_dicom_image(path)
    raise DataError(f"{path}: of no known kind; the suite reads {ACCEPTED}")


def _from_array(array_HW: np.ndarray) -> Radiograph:
    low, high = float(array_HW.min()), float(array_HW.max())
    if not (low >= 0 and high <= 1):
        raise DataError(f"a picture has values in [0, 1], this array has [{low:g}, {high:g}]; scale it first")
    return Radiograph(array_HW, provenance=("array",))
