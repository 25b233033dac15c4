"""One DICOM file, parsed: header tags that the suite is allowed to look at, and pixel values.

Only the tags named in this package are ever read into anything; names, ids and dates of patients are not among them.
All functions expect to run inside `guard.reading`, which keeps the DICOM library's texts (they quote tag values) away.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError
from domains.medical.io.decoding import decode_in_helper
from domains.medical.io.guard import MAX_VOXELS, check_size

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

SUFFIXES = (".dcm", ".dicom", ".ima")
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
DICOMDIR = "1.2.840.10008.1.3.10"
IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


def is_dicom(path: Path) -> bool:
    """Whether the file has the DICOM preamble or a DICOM suffix."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def open_dicom(path: Path, *, pixels: bool = True) -> FileDataset:
    """The parsed file. Raises DataError when it is a directory file, or not an image."""
    import pydicom

    with open(path, "rb") as file:
        has_preamble = file.read(132)[128:] == b"DICM"
    if has_preamble:
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("MediaStorageSOPClassUID") == DICOMDIR:
            raise DataError("this is a DICOMDIR, a table of contents; give the folder of one series")
        if meta.get("TransferSyntaxUID") == DEFLATED:
            _refuse_bomb(path, start=144 + int(meta.FileMetaInformationGroupLength))
    # Without a preamble only the suffix says DICOM: parse it, and require below that an image came out.
    dataset = pydicom.dcmread(path, stop_before_pixels=not pixels, force=not has_preamble)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(
            IMPLICIT_LE if implicit else EXPLICIT_LE if little else EXPLICIT_BE
        )
    return dataset


def require_image(dataset: Dataset) -> None:
    """Raises DataError unless the header describes an image of acceptable size."""
    missing = [k for k in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if dataset.get(k) is None]
    if missing:
        kind = dataset.get("Modality") or "unknown"
        raise DataError(f"holds no image (modality {_code(kind)}, {', '.join(missing)} missing); leave it out")
    check_size(int(dataset.Rows), int(dataset.Columns), frame_count(dataset), int(dataset.get("SamplesPerPixel") or 1))


def frame_count(dataset: Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def stored_values(dataset: FileDataset, path: Path, *, frame: int | None = None) -> np.ndarray:
    """Decoded pixel values, not rescaled: (H, W), (F, H, W), or with 3 samples of RGB at the end.

    frame: only this one. YBR is converted to RGB, palettes are applied. Compressed data is decoded in a helper process.
    Raises DataError when there is no pixel data, or it cannot be decoded.
    """
    import pydicom

    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise DataError("its pixel data is missing; the file was cut short or holds a header only, copy it again")
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        if syntax.is_encapsulated and syntax != RLE:
            array = decode_in_helper(path, frame=frame, max_bytes=_decoded_bytes(dataset))
        else:
            plugin = "pydicom" if syntax == RLE else ""
            array = pydicom.pixels.pixel_array(dataset, index=frame, decoding_plugin=plugin)
    except Exception as err:
        coding = syntax.name if not syntax.is_private and syntax.name != syntax else "unknown transfer syntax"
        reason = f"{coding}, {err if isinstance(err, DataError) else type(err).__name__}"
        raise DataError(
            f"its pixel data cannot be decoded ({reason}): it is cut short, damaged or of a kind no installed decoder "
            "knows; copy it again or convert it to an uncompressed syntax"
        ) from None
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        array = pydicom.pixels.apply_color_lut(array, dataset)
        array = array / np.float32(np.iinfo(array.dtype).max)
    return array


def _decoded_bytes(dataset: Dataset) -> int:
    """What the header says the pixels need, with room for colour conversion and wider words."""
    pixels = int(dataset.Rows) * int(dataset.Columns) * frame_count(dataset)
    return pixels * max(3, int(dataset.get("SamplesPerPixel") or 1)) * 4


def to_grey(array: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Luma (ITU-R 601) of a colour image, alpha dropped; grey images pass."""
    coloured = int(dataset.get("SamplesPerPixel") or 1) > 1 or dataset.PhotometricInterpretation == "PALETTE COLOR"
    if not coloured:
        return array
    return array[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def padding_mask(array: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """True where a stored value is PixelPaddingValue (or within the range to PixelPaddingRangeLimit); None if unset."""
    value = _as_stored(dataset.get("PixelPaddingValue"), dataset)
    if value is None:
        return None
    limit = _as_stored(dataset.get("PixelPaddingRangeLimit"), dataset)
    low, high = sorted((value, value if limit is None else limit))
    return (array >= low) & (array <= high)


def number(dataset: Dataset, keyword: str) -> float | None:
    """A numeric tag as float, the first of several; None when absent or empty."""
    values = numbers(dataset, keyword)
    return values[0] if values else None


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """A numeric tag as floats; empty when absent. Raises DataError naming the tag when it is not finite numbers."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return ()
    items = [value] if isinstance(value, (int, float, str)) else list(value)
    try:
        found = tuple(float(item) for item in items)
    except (TypeError, ValueError):
        raise DataError(f"its tag {keyword} is not a number; correct the header") from None
    if not np.isfinite(found).all():
        raise DataError(f"its tag {keyword} is not finite; correct the header")
    return found


def code(dataset: Dataset, keyword: str) -> str:
    """A coded tag (Modality, ViewPosition, ...): at most 16 upper-case letters, digits, spaces; "" when absent."""
    return _code(dataset.get(keyword))


def _code(value: Any) -> str:
    text = str(value).strip().upper() if isinstance(value, str) else ""
    return text if len(text) <= 16 and all(c.isalnum() or c in " _-" for c in text) else ""


def _as_stored(value: Any, dataset: Dataset) -> int | None:
    """A padding tag in the sign convention of the pixels: its own VR may say otherwise."""
    if value is None or isinstance(value, (bytes, str)):
        return None
    bits, number = int(dataset.get("BitsAllocated") or 16), int(value)
    if int(dataset.get("PixelRepresentation") or 0) == 1:
        return number - 2**bits if number >= 2 ** (bits - 1) else number
    return number + 2**bits if number < 0 else number


def _refuse_bomb(path: Path, *, start: int) -> None:
    """Inflate a deflated file in steps, keeping nothing, up to the size limit: the library would do it at once."""
    with open(path, "rb") as file:
        file.seek(start)
        inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while (chunk := file.read(1 << 16)) and not inflater.eof:
            while chunk:
                total += len(inflater.decompress(chunk, 1 << 20))
                if total > 2 * MAX_VOXELS:
                    raise DataError(f"it inflates to more than {2 * MAX_VOXELS:,} bytes; it is damaged or hostile")
                chunk = inflater.unconsumed_tail
