"""DICOM to Volume or Radiograph: a folder with one series, or one file.

Values: stored value * RescaleSlope + RescaleIntercept, once per slice (slopes differ between the slices of PET).
CT that states both is in Hounsfield units, anything else is "raw". PixelPaddingValue becomes air: -1024 HU in CT,
elsewhere the smallest value of the body; no HU is below -1024. Missing slices, gantry tilt, several series and several
images at one place are errors with a remedy, never guesses.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.errors import DataError
from domains.medical.geometry import AIR_HU, Radiograph, Volume
from domains.medical.io import dicom_stack as stacking
from domains.medical.io.content import fill_missing, require_signal
from domains.medical.io.dicom_file import is_dicom, open_dicom, padding_mask, require_image, stored_values
from domains.medical.io.dicom_frames import Frame, frames_of, is_stack
from domains.medical.io.dicom_picture import picture_of
from domains.medical.io.guard import check_size, reading

MAX_FILES = 20_000


def read_dicom_series(
    folder: Path | str,
    *,
    series: str | None = None,
    gaps: stacking.GapPolicy = "raise",
    tilt: stacking.TiltPolicy = "raise",
) -> Volume | Radiograph:
    """Read the one series in `folder` (its subfolders are searched only when it holds no DICOM file itself).

    series: the SeriesInstanceUID to read when there are several. gaps: "resample" interpolates over missing slices.
    tilt: "correct" undoes a gantry tilt. A folder with one file gives what `read_dicom_image` gives.
    Raises DataError naming the folder or file, the fault and the remedy.
    """
    folder = Path(folder)
    with reading(folder, "DICOM folder"):
        by_series = _series_of(_files(folder))
        paths = _chosen(by_series, series)
    if len(paths) == 1:
        return read_dicom_image(paths[0], gaps=gaps, tilt=tilt)
    frames: list[Frame] = []
    for path in paths:
        with reading(path, "DICOM file"):
            dataset = open_dicom(path, pixels=False)
            require_image(dataset)
            frames += frames_of(dataset, path)
    with reading(folder, "DICOM series"):
        return _volume(frames, gaps, tilt)


def read_dicom_image(
    path: Path | str, *, gaps: stacking.GapPolicy = "raise", tilt: stacking.TiltPolicy = "raise"
) -> Volume | Radiograph:
    """Read one file: a slice of CT, MR or PET, or an enhanced multi-frame file, is a Volume; a picture is a Radiograph.

    Raises DataError naming the file, the fault and the remedy; the DICOM library's own texts, which quote tag values,
    are never shown.
    """
    path = Path(path)
    with reading(path, "DICOM file"):
        dataset = open_dicom(path)
        require_image(dataset)
        if not is_stack(dataset):
            return picture_of(dataset, path)
        return _volume(frames_of(dataset, path), gaps, tilt)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError("there is no such folder; check the path")
    for candidates in (folder.iterdir(), folder.rglob("*")):
        found = sorted(p for p in candidates if not p.name.startswith(".") and p.is_file() and is_dicom(p))
        found = [p for p in found if p.name.upper() != "DICOMDIR"]
        if len(found) > MAX_FILES:
            raise DataError(f"it holds {len(found):,} DICOM files; give the folder of one series")
        if found:
            return found
    raise DataError("it holds no DICOM file; give the folder of one series, or a NIfTI file")


def _series_of(paths: Sequence[Path]) -> dict[str, list[tuple[Path, str]]]:
    """SeriesInstanceUID -> its image files with their modality; files without an image are left out."""
    found: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for path in paths:
        with reading(path, "DICOM file"):
            dataset = open_dicom(path, pixels=False)
            if dataset.get("Rows") is not None and dataset.get("Columns") is not None:
                uid = str(dataset.get("SeriesInstanceUID") or "")
                found[uid].append((path, str(dataset.get("Modality") or "?")))
    if not found:
        raise DataError(f"none of its {len(paths)} DICOM files holds an image; give the folder of an image series")
    return found


def _chosen(by_series: dict[str, list[tuple[Path, str]]], series: str | None) -> list[Path]:
    if series is not None and series not in by_series:
        raise DataError(f"it has no series '{series}'; it has {', '.join(sorted(by_series))}")
    if series is None and len(by_series) > 1:
        lines = []
        for uid, files in sorted(by_series.items(), key=lambda item: -len(item[1]))[:20]:
            kinds = Counter(kind for _, kind in files)
            lines.append(f"  {uid}: {len(files)} images, {'/'.join(sorted(kinds))}")
        raise DataError(
            f"it holds {len(by_series)} series; choose one with series='...', or give its own folder:\n"
            + "\n".join(lines)
        )
    uid = series if series is not None else next(iter(by_series))
    return [path for path, _ in by_series[uid]]


def _volume(frames: Sequence[Frame], gaps: stacking.GapPolicy, tilt: stacking.TiltPolicy) -> Volume:
    stack = stacking.arrange(frames)
    in_hounsfield = all(frame.in_hounsfield for frame in stack.frames)
    array_KHW = _values(stack.frames, in_hounsfield=in_hounsfield)
    stack, array_KHW = stacking.without_duplicates(stack, array_KHW)
    if gaps == "resample":
        if len(stack.frames) > 1:
            stack, array_KHW = stacking.evened(stack, array_KHW)
    else:
        stacking.require_uniform(stack)
    if tilt == "correct" and stacking.tilt_of(stack) > 0:
        air = AIR_HU if in_hounsfield else float(array_KHW.min())
        stack, array_KHW = stacking.straightened(stack, array_KHW, air=air)
    else:
        stacking.require_upright(stack)
    affine, assumed = stacking.affine_of(stack)
    return Volume(
        array_KHW.transpose(2, 1, 0), affine, "HU" if in_hounsfield else "raw", ("dicom", *stack.notes, *assumed)
    )


def _values(frames: Sequence[Frame], *, in_hounsfield: bool) -> np.ndarray:
    """(K, H, W) float32: rescaled values with padding replaced by air."""
    rows, columns = frames[0].shape
    check_size(len(frames), rows, columns)
    array_KHW = np.empty((len(frames), rows, columns), np.float32)
    padded_KHW: np.ndarray | None = None
    places = defaultdict(list)
    for k, frame in enumerate(frames):
        places[frame.path].append(k)
    for path, here in places.items():
        with reading(path, "DICOM file"):
            dataset = open_dicom(path)
            stored = stored_values(dataset, path)
            require_signal(stored)
            for k in here:
                index = frames[k].index
                one = stored if index is None else stored[index]
                if one.shape != (rows, columns):
                    raise DataError(f"its pixels have shape {one.shape}, not {(rows, columns)}; copy it again")
                slope, intercept = frames[k].slope, frames[k].intercept
                array_KHW[k] = one
                array_KHW[k] *= np.float32(1 if slope is None else slope)
                array_KHW[k] += np.float32(0 if intercept is None else intercept)
                padding = padding_mask(one, dataset)
                if padding is not None and padding.any():
                    padded_KHW = np.zeros(array_KHW.shape, bool) if padded_KHW is None else padded_KHW
                    padded_KHW[k] = padding
    array_KHW, _ = fill_missing(array_KHW, None)
    if padded_KHW is not None and not padded_KHW.all():
        array_KHW[padded_KHW] = AIR_HU if in_hounsfield else array_KHW[~padded_KHW].min()
    if in_hounsfield:  # nothing is emptier than air: what lies below is padding that lossy coding has smeared
        np.maximum(array_KHW, np.float32(AIR_HU), out=array_KHW)
    require_signal(array_KHW)
    return array_KHW
