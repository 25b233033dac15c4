"""Georeferenced rasters to files: tiled, compressed, with overviews (Cloud-Optimised GeoTIFF), whole or absent.

Shape legend: C = bands, H, W = rows and columns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from core.errors import DataError
from core.files import TEMPORARY_SUFFIX, atomic_write
from domains.remote_sensing.raster import Raster, Transform, Window

BLOCK = 512  # pixels of a tile's side, as in the COG specification's examples
Colours = Mapping[int, tuple[int, int, int]]  # value -> red, green, blue, 0 to 255


class MapWriter:
    """A raster that is written window by window, and appears under its name when it is complete.

    with MapWriter(path, shape=(H, W), transform=t, crs="EPSG:32633", dtype="uint8", nodata=255, colours=...) as out:
        out.write(labels_HW, Window(0, 0, 512, 512))

    On a clean exit the tiles become a Cloud-Optimised GeoTIFF with overviews (nearest neighbour for integers, mean for
    floats) and replace `path`; after a fault `path` is untouched. What was never written is nodata.
    Raises DataError for a type, shape or window that does not fit, and when the disk refuses.
    """

    def __init__(
        self,
        path: Path,
        *,
        shape: tuple[int, int],
        transform: Sequence[float],
        crs: str,
        dtype: str,
        nodata: float | None,
        names: Sequence[str] = ("",),
        colours: Colours | None = None,
        tags: Mapping[str, str] | None = None,
        compress: str = "DEFLATE",
        scale: tuple[float, float] | None = None,
    ) -> None:
        """scale: scale and offset that the file states for all bands; None = none."""
        self.scale = scale
        self.path, self.shape, self.dtype = Path(path), shape, np.dtype(dtype)
        self.transform, self.crs, self.nodata, self.compress = transform, crs, nodata, compress
        self.names, self.colours, self.tags = tuple(names), colours, dict(tags or {})
        if colours is not None and (self.dtype.name not in ("uint8", "uint16") or len(self.names) != 1):
            raise DataError(
                f"{path}: a colour table belongs to one band of uint8 or uint16, not {len(self.names)} of {dtype}"
            )
        self._stack = contextlib.ExitStack()
        self._file: Any = None

    def __enter__(self) -> MapWriter:
        self._final = self._stack.enter_context(atomic_write(self.path))
        # beside the final one, and removed with any fault: it can be as large as the result
        self._tiles = self._final.with_name(
            self._final.name.removesuffix(TEMPORARY_SUFFIX) + f".tiles{TEMPORARY_SUFFIX}"
        )
        self._stack.callback(self._tiles.unlink, missing_ok=True)
        try:
            self._file = self._stack.enter_context(self._opened())
        except BaseException as fault:
            self._stack.__exit__(type(fault), fault, fault.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._file.close()
            self._stack.__exit__(kind, fault, trace)
            return
        try:
            self._file.close()
            self._finish()
        except BaseException as failed:
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._stack.close()

    def write(self, values: np.ndarray, window: Window | None = None) -> None:
        """(H, W) or (C, H, W) of the window, or of the whole raster."""
        values_CHW = values[None] if values.ndim == 2 else values
        window = window or Window(0, 0, *self.shape)
        if values_CHW.shape != (len(self.names), window.height, window.width):
            raise DataError(
                f"{self.path}: values of shape {values_CHW.shape} for {len(self.names)} bands of "
                f"{window.height} x {window.width} pixels"
            )
        if values_CHW.dtype != self.dtype:
            raise DataError(f"{self.path}: values are {values_CHW.dtype}, the raster holds {self.dtype}; convert them")
        bottom, right = window.top + window.height, window.left + window.width
        if min(window.top, window.left) < 0 or bottom > self.shape[0] or right > self.shape[1]:
            raise DataError(f"{self.path}: window {window} reaches beyond {self.shape[0]} x {self.shape[1]} pixels")
        self._file.write(values_CHW, window=((window.top, bottom), (window.left, right)))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        import rasterio
        from rasterio.crs import CRS
        from rasterio.transform import Affine

        options: dict[str, Any] = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "bigtiff": "IF_SAFER"}
        with (
            rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_CACHEMAX=64),
            rasterio.open(
                self._tiles, "w", driver="GTiff", height=self.shape[0], width=self.shape[1], count=len(self.names),
                dtype=self.dtype.name, nodata=self.nodata, crs=CRS.from_user_input(self.crs) if self.crs else None,
                transform=Affine(*self.transform), compress=self.compress, sparse_ok=True, **options,
            ) as file,
        ):  # fmt: skip
            for i, name in enumerate(self.names, start=1):
                if name:
                    file.set_band_description(i, name)
            if self.scale is not None:
                file.scales, file.offsets = ((value,) * len(self.names) for value in self.scale)
            if self.colours is not None:
                file.write_colormap(1, {value: (*rgb, 255) for value, rgb in self.colours.items()})
            if self.tags:
                file.update_tags(**self.tags)
            yield file

    def _finish(self) -> None:
        """Tiles to a COG. Overviews of classes take the nearest pixel: a mean of class numbers is another class."""
        import rasterio
        from rasterio.shutil import copy

        whole = self.dtype.kind in "iu"
        options = {
            "compress": self.compress, "predictor": "STANDARD" if whole else "FLOATING_POINT", "blocksize": BLOCK,
            "overview_resampling": "NEAREST" if whole else "AVERAGE", "bigtiff": "IF_SAFER",
        }  # fmt: skip
        with rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_CACHEMAX=64):
            copy(str(self._tiles), str(self._final), driver="COG", **options)


def write_raster(path: Path, raster: Raster, *, dtype: str = "float32", nodata: float | None = float("nan")) -> None:
    """Write a raster as a Cloud-Optimised GeoTIFF, numbers as they are stored by `raster.spec` with nan as `nodata`.

    Integer types round, and refuse values that they cannot hold.
    """
    spec = raster.spec
    stored_CHW = (raster.values_CHW - np.float32(spec.offset)) / np.float32(spec.scale)
    missing_CHW = ~np.isfinite(raster.values_CHW)
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        known = np.rint(stored_CHW[~missing_CHW])
        limits = np.iinfo(kind)
        if known.size and (known.min() < limits.min or known.max() > limits.max):
            raise DataError(
                f"{path}: values from {known.min():g} to {known.max():g} do not fit {dtype}; choose another type"
            )
        if missing_CHW.any() and (nodata is None or nodata != nodata):
            raise DataError(f"{path}: {dtype} cannot hold nan; give a nodata number for the missing pixels")
        stored_CHW = np.rint(stored_CHW)
    fill = np.nan if nodata is None else nodata
    stored_CHW = np.where(missing_CHW, fill, stored_CHW).astype(kind)
    tags = {"ACQUISITION_DATE": raster.time} if raster.time else {}
    with MapWriter(
        path, shape=raster.shape, transform=raster.transform, crs=raster.crs, dtype=dtype, nodata=nodata,
        names=spec.names, tags=tags,
    ) as out:  # fmt: skip
        out.write(stored_CHW)


def transform_of(origin: tuple[float, float], pixel: float) -> Transform:
    """The transform of a north-up grid: origin is the outer corner of the first pixel, pixel its side."""
    return pixel, 0.0, origin[0], 0.0, -pixel, origin[1]
