"""NIfTI-1 and NIfTI-2 (.nii, .nii.gz, .hdr/.img) to a Volume, and label maps back to NIfTI.

Values: nibabel applies scl_slope and scl_inter once while reading; a slope of 0 or nan means none. Affine: the sform if
its code is set, else the qform, else the pixel sizes alone (logged: the orientation is then a guess of the format).
Missing values (nan, inf) become air (-1024) when the units are HU, else the smallest finite value.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import DataError
from core.files import atomic_write
from domains.medical.geometry import (
    AIR_HU,
    ORTHOGONAL_WITHIN,
    Units,
    Volume,
    axis_shear,
    grid_distance,
    orthogonalised,
)
from domains.medical.io.content import fill_missing, require_signal
from domains.medical.io.guard import check_size, reading, ref

log = logging.getLogger(__name__)
SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
FORMS_AGREE_MM = 1e-3  # sform and qform further apart than this at a corner of the grid are two different claims
_MM = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}  # xyzt_units of the header
_GZIP_RATIO = 1032  # deflate cannot expand more than this


def read_nifti(
    path: Path | str,
    *,
    units: Units = "raw",
    frame: int | None = None,
    sheared: Literal["raise", "nearest"] = "raise",
) -> Volume:
    """Read one volume.

    units: what the values mean after slope and intercept; NIfTI cannot say, so the caller does. frame: which of several
    volumes in a 4D file (required when there is more than one). sheared: what to do when the axes are not at right
    angles; "nearest" takes the closest rotation, keeping spacing and centre.
    Raises DataError naming the file for anything that is not a whole, finite, non-blank NIfTI volume.
    """
    path = Path(path)
    with reading(path, "NIfTI file"):
        image = _opened(path)
        array_XYZ, steps = _voxels(image, path, frame)
        affine, forms = _affine(image, path, array_XYZ.shape, sheared)
        array_XYZ, missing = fill_missing(array_XYZ, AIR_HU if units == "HU" else None)
        require_signal(array_XYZ)
        if missing:
            steps.append(f"{missing} missing values filled")
        return Volume(array_XYZ, affine, units, ("nifti", *steps, *forms))


def read_stored(path: Path | str, slope: float, intercept: float, spacing: tuple[float, float, float]) -> Volume:
    """Hounsfield units from the values as stored, with slope, intercept and spacing (mm, axes 0, 1, 2) given from
    outside: for releases whose headers are known to be wrong. Directions of the axes still come from the header."""
    path = Path(path)
    with reading(path, "NIfTI file"):
        image = _opened(path)
        if int(np.prod(image.shape[3:], dtype=int)) != 1 or len(image.shape) < 3:
            raise DataError(f"it has shape {image.shape}; one volume was expected")
        stored_XYZ = np.asarray(image.dataobj.get_unscaled(), np.float32).reshape(image.shape[:3], order="F")
        affine, forms = _affine(image, path, image.shape, "raise")
        affine[:3, :3] *= np.asarray(spacing, float) / np.linalg.norm(affine[:3, :3], axis=0)
        require_signal(stored_XYZ)
        raw = Volume(stored_XYZ, affine, "raw", ("nifti, stored values", *forms, "spacing from table"))
        scaled = raw.rescaled(slope, intercept)
        filled, _ = fill_missing(scaled.array_XYZ, AIR_HU)
        return scaled if filled is scaled.array_XYZ else scaled.changed(filled, "missing values filled")


def read_labels(path: Path | str, *, frame: int | None = None) -> Volume:
    """Read a label map: like `read_nifti`, but values must be whole numbers in [0, 65535] and may be all background."""
    path = Path(path)
    with reading(path, "NIfTI label map"):
        image = _opened(path)
        array_XYZ, steps = _voxels(image, path, frame)
        whole = np.isfinite(array_XYZ).all() and (array_XYZ == np.rint(array_XYZ)).all()
        if not whole or array_XYZ.min() < 0 or array_XYZ.max() > 65535:
            raise DataError("not a label map: its values must be whole numbers from 0 to 65535; round or relabel it")
        affine, forms = _affine(image, path, array_XYZ.shape, "raise")
        return Volume(array_XYZ, affine, "raw", ("nifti labels", *steps, *forms))


def write_nifti(path: Path | str, array_XYZ: np.ndarray, affine: np.ndarray) -> None:
    """Write a label map or image with its affine (both forms set, mm); the file is whole or absent.

    Whole numbers are stored in the smallest unsigned type that holds them, anything else as float32.
    """
    import nibabel

    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise DataError(f"{path}: NIfTI files are named .nii or .nii.gz")
    array = np.asarray(array_XYZ)
    if array.dtype == bool or np.issubdtype(array.dtype, np.integer):
        if array.min(initial=0) < 0:
            raise DataError(f"{path}: a label map has no negative value; the smallest is {array.min()}")
        array = array.astype(np.min_scalar_type(int(array.max(initial=0))))
    else:
        array = array.astype(np.float32)
    image = nibabel.Nifti1Image(array, np.asarray(affine, np.float64))
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    data = image.to_bytes()
    if path.name.endswith(".gz"):
        import gzip

        data = gzip.compress(data, compresslevel=6, mtime=0)
    with atomic_write(path) as partial:
        partial.write_bytes(data)


def _opened(path: Path) -> Any:
    """The image behind `path`, header only. Raises DataError for other formats and for damaged sizes."""
    import nibabel

    image: Any = nibabel.load(path)  # its declared type knows none of the methods used here
    if type(image) not in (nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.Nifti1Pair, nibabel.Nifti2Pair):
        raise DataError(
            f"this is {type(image).__name__}, not NIfTI: its orientation is not reliable here; convert it to .nii.gz"
        )
    shape = image.header.get_data_shape()
    if not shape:
        raise DataError("its header claims no dimension; it is damaged, copy it again")
    check_size(*shape)
    data_file = Path(image.file_map["image"].filename)
    if not data_file.is_file():
        raise DataError(f"its voxels are in {data_file.name}, which is missing; copy both files of the pair")
    needed = int(np.prod(shape, dtype=object)) * image.get_data_dtype().itemsize
    held = os.path.getsize(data_file) * (_GZIP_RATIO if data_file.suffix in (".gz", ".bz2", ".zst") else 1)
    if needed > held:
        raise DataError(f"its header claims {needed:,} bytes of voxels, the file cannot hold them; copy it again")
    if image.get_data_dtype().kind not in "iuf":
        raise DataError(f"voxels are {image.get_data_dtype()}; only real numbers are read, convert the file")
    return image


def _voxels(image: Any, path: Path, frame: int | None) -> tuple[np.ndarray, list[str]]:
    """One float32 volume, axes of length one after the third dropped, and what was done."""
    shape = image.shape
    frames = int(np.prod(shape[3:], dtype=int))
    if frames > 1 and frame is None:
        raise DataError(f"it holds {frames} volumes (shape {shape}); choose one with frame=0..{frames - 1}")
    if frame is not None and not 0 <= frame < frames:
        raise DataError(f"it has no volume {frame}: it holds {frames}, counted from 0")
    if frames > 1:
        index = np.unravel_index(frame or 0, shape[3:], order="F")
        array = np.asanyarray(image.dataobj[(..., *map(int, index))], dtype=np.float32)
    else:
        array = image.get_fdata(dtype=np.float32, caching="unchanged")
    array = array.reshape((*shape[:3], *[1] * (3 - len(shape[:3]))), order="A" if len(shape) <= 3 else "F")
    slope, inter = image.dataobj.slope, image.dataobj.inter
    steps = [] if (slope, inter) == (1, 0) else [f"slope {slope:g} intercept {inter:g}"]
    return array, steps + ([f"volume {frame} of {frames}"] if frames > 1 else [])


def _affine(
    image: Any, path: Path, shape: tuple[int, ...], sheared: Literal["raise", "nearest"]
) -> tuple[np.ndarray, list[str]]:
    """The affine in mm and what is to be known about it."""
    header, steps = image.header, []
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    affine = np.array(header.get_best_affine(), np.float64)
    if sform is None and qform is None:
        steps.append("no orientation in the header")
        log.warning("%s: neither sform nor qform is set; the file does not say where left and right are", ref(path))
    elif sform is not None and qform is not None:
        apart = grid_distance(sform, qform, shape)
        if apart > FORMS_AGREE_MM:
            steps.append("sform and qform disagree, sform used")
            log.warning("%s: sform and qform are %.3g mm apart; the sform is used", ref(path), apart)
    scale = _MM.get(header.get_xyzt_units()[0], 1.0)
    affine[:3] *= scale
    if sheared == "nearest" and np.isfinite(affine).all() and axis_shear(affine) > ORTHOGONAL_WITHIN:
        affine = orthogonalised(affine, shape)
        steps.append("axes made orthogonal")
    return affine, steps
