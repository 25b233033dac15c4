"""One place where the faults of GDAL become one DataError, and where a file can make GDAL open nothing but itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import DataError, HeptadError

MAX_VALUES = 2**31  # values of one read, 8 GiB as float32; checked against the header before any allocation
# The driver by suffix: a VRT named .tif would open, and return pixels of, any other file (GDAL's security page).
DRIVERS = {
    ".tif": "GTiff", ".tiff": "GTiff", ".gtiff": "GTiff", ".jp2": "JP2OpenJPEG", ".png": "PNG", ".jpg": "JPEG",
    ".jpeg": "JPEG",
}  # fmt: skip
_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}  # no .aux.xml, .tfw, .ovr beside it


@contextmanager
def reading(path: Path | str, kind: str = "raster") -> Iterator[None]:
    """Turn any fault inside into one DataError: path, what it should have been, the remedy. GDAL logs nothing."""
    with _silence():
        try:
            yield
        except HeptadError as err:
            if str(path) in str(err):
                raise
            raise DataError(f"{path}: {err}") from None
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such file; check the path") from None
        except MemoryError:
            raise DataError(f"{path}: asks for more memory than there is; read it in windows") from None
        except Exception as err:  # rasterio raises its own types and plain ones; a user needs one
            text = " ".join(str(err).split()) or type(err).__name__
            raise DataError(
                f"{path}: not a readable {kind} ({text}): it is damaged or cut short, or not of the kind its name "
                "says; copy it again or leave it out"
            ) from None


def environment() -> Any:
    """GDAL's settings for reading; entered once around all files of a raster."""
    import rasterio

    return rasterio.Env(**_OPTIONS)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A rasterio dataset, read by the driver that the suffix names. Raises DataError for a suffix of none."""
    import rasterio

    driver = DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise DataError(f"{path}: rasters are read from {', '.join(DRIVERS)}; convert it with gdal_translate")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the path")
    with rasterio.open(path, driver=driver) as source:
        yield source


def check_size(bands: int, rows: int, columns: int) -> None:
    """Raises DataError when a read would give no value at all, or more than MAX_VALUES."""
    if min(bands, rows, columns) < 1:
        raise DataError(f"its header claims {bands} bands of {rows} x {columns} pixels: there is nothing to read")
    if bands * rows * columns > MAX_VALUES:
        raise DataError(
            f"{bands} bands of {rows} x {columns} pixels are over the limit of {MAX_VALUES:,} values; read windows"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """GDAL's messages name files: they go nowhere. That a picture has no georeference is no news."""
    log = logging.getLogger("rasterio")
    before = (log.handlers, log.propagate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.handlers, log.propagate = [logging.NullHandler()], False
        try:
            yield
        finally:
            log.handlers, log.propagate = before
