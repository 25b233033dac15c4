"""One DICOM image that is a picture (radiograph, ultrasound, secondary capture) to a Radiograph.

Order of steps (PS3.4 N.2): stored value -> modality LUT or rescale -> VOI LUT or window -> MONOCHROME1 inverted.
Without a window the 0.5 and 99.5 percentiles become black and white. Colour becomes luma. Of several frames the middle
one is taken: the first of a cine loop is often empty. Padding becomes black.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from domains.medical.geometry import Radiograph
from domains.medical.io.content import fill_missing, require_signal
from domains.medical.io.dicom_file import code, frame_count, numbers, padding_mask, stored_values, to_grey

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

PERCENTILES = (0.5, 99.5)
_VIEWS = {"AP", "PA", "LL", "RL", "LATERAL", "LLD", "RLD", "RLO", "LLO", "CC", "MLO", "ML", "LM"}


def picture_of(dataset: FileDataset, path: Path) -> Radiograph:
    """The picture of a parsed file; expects to run inside `guard.reading`. Raises DataError when it is blank."""
    count = frame_count(dataset)
    stored = stored_values(dataset, path, frame=count // 2 if count > 1 else None)
    require_signal(stored)
    grey = to_grey(stored, dataset)
    steps = ["dicom", *([f"frame {count // 2} of {count}"] if count > 1 else [])]
    if grey is not stored:  # colour
        top = 1.0 if dataset.PhotometricInterpretation == "PALETTE COLOR" else float(np.iinfo(stored.dtype).max)
        shown, steps = np.clip(grey / np.float32(top), 0, 1), [*steps, "colour to luma"]
    else:
        shown, how = _displayed(stored, dataset)
        steps.append(how)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            shown, steps = 1 - shown, [*steps, "inverted"]
        padding = padding_mask(stored, dataset)
        if padding is not None and padding.any() and not padding.all():
            shown = np.where(padding, np.float32(0), shown)
    require_signal(shown)
    return Radiograph(shown.astype(np.float32), _pixel_mm(dataset), _view(dataset), _laterality(dataset), tuple(steps))


def _displayed(stored: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, str]:
    """Grey values in [0, 1] before inversion, and how they came about."""
    import pydicom

    values, _ = fill_missing(np.asarray(pydicom.pixels.apply_modality_lut(stored, dataset), np.float32), None)
    if dataset.get("VOILUTSequence") and np.issubdtype(stored.dtype, np.integer):
        shown = np.asarray(pydicom.pixels.apply_voi(np.rint(values).astype(np.int64), dataset), np.float32)
        if shown.max() > shown.min():
            return shown / shown.max(), "VOI LUT"
    centre, width = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if centre and width and width[0] >= 1:
        shown = _windowed(values, centre[0], width[0], code(dataset, "VOILUTFunction"))
        if shown.max() > shown.min():
            return shown, "VOI window"
    padding = padding_mask(stored, dataset)
    inside = values if padding is None or padding.all() else values[~padding]
    low, high = (float(v) for v in np.percentile(inside, PERCENTILES))
    if not high > low:
        low, high = float(values.min()), float(values.max())
    span = high - low if high > low else 1.0
    return np.clip((values - np.float32(low)) / np.float32(span), 0, 1), "percentiles"


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, output in [0, 1]."""
    if function == "SIGMOID":
        return (1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -80, 80)))).astype(np.float32)
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width == 1:
        return (values > centre - 0.5).astype(np.float32)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _pixel_mm(dataset: Dataset) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = numbers(dataset, keyword)
        if len(found) == 2 and min(found) > 0:
            return found[0], found[1]
    regions = dataset.get("SequenceOfUltrasoundRegions") or []
    if len(regions) and regions[0].get("PhysicalUnitsXDirection") == 3 == regions[0].get("PhysicalUnitsYDirection"):
        down, across = numbers(regions[0], "PhysicalDeltaY"), numbers(regions[0], "PhysicalDeltaX")  # cm
        if down and across and down[0] != 0 and across[0] != 0:
            return abs(down[0]) * 10, abs(across[0]) * 10
    return None


def _view(dataset: Dataset) -> str:
    view = code(dataset, "ViewPosition")
    return view if view in _VIEWS else ""


def _laterality(dataset: Dataset) -> str:
    side = code(dataset, "ImageLaterality") or code(dataset, "Laterality")
    return side if side in ("L", "R") else ""
