"""A raster seen on any grid, in windows: GDAL warps what a window needs, and no more is ever in memory.

Shape legend: C = bands, H, W = rows and columns of a window.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import ConfigError, DataError
from domains.remote_sensing.bands import canonical_name
from domains.remote_sensing.io.guard import environment, opened, reading
from domains.remote_sensing.io.header import Header, check_position, read_header
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.raster import Transform, Window

Interpolation = Literal["nearest", "bilinear", "cubic"]
WARP_MEMORY = 64  # MiB that GDAL may take for one block


@dataclass(frozen=True, slots=True)
class View:
    """How a raster is sampled: on a grid of `shape` and `crs` whose pixels lie at `transform` in its own terms."""

    shape: tuple[int, int]
    transform: Transform
    crs: str
    interpolation: Interpolation = "bilinear"


class SceneRaster:
    """A georeferenced file. bands: 1-based indices of those to be matched."""

    def __init__(
        self, path: Path, header: Header, bands: tuple[int, ...], *, dtype: str, colours: Any, has_alpha: bool
    ) -> None:
        self.path, self.header, self.bands = path, header, bands
        self.dtype, self.colours, self.has_alpha = dtype, colours, has_alpha

    @classmethod
    def of(cls, path: Path | str, wanted: Sequence[str] = ()) -> SceneRaster:
        """wanted: bands to be matched, by description or number (from 1); all when empty. Raises DataError for a file
        that cannot be read or states no place, ConfigError for a band that it does not have."""
        path = Path(path)
        with environment(), reading(path), opened(path) as file:
            header = read_header(file)
            check_position(header)
            dtype = str(np.result_type(*(np.dtype(file.dtypes[i - 1]) for i in header.bands)))
            colours, has_alpha = _colours(file), file.count > len(header.bands)
            if np.dtype(dtype).kind == "c":
                raise DataError(f"its values are complex ({dtype}); give amplitude or power")
        if not header.crs:
            raise DataError(f"{path}: states no CRS; assign the right one, for instance gdal_edit.py -a_srs EPSG:32633")
        return cls(path, header, _chosen(path, header, wanted), dtype=dtype, colours=colours, has_alpha=has_alpha)

    @property
    def grid(self) -> Grid:
        return Grid((self.header.rows, self.header.columns), self.header.transform, self.header.crs)

    @contextlib.contextmanager
    def seen(self, view: View) -> Iterator[WindowReader]:
        """A reader of windows of the view; it stays open as long as the context."""
        from rasterio.crs import CRS
        from rasterio.enums import Resampling
        from rasterio.transform import Affine
        from rasterio.vrt import WarpedVRT

        # a mask of the file, and what lies beyond it, travel as an alpha band where no number stands for them
        alpha = {"add_alpha": True} if self.header.nodata is None and not self.has_alpha else {}
        with contextlib.ExitStack() as stack:
            with reading(self.path):  # faults of what happens while it is open are not the file's
                stack.enter_context(environment())
                file = stack.enter_context(opened(self.path))
                warped = stack.enter_context(
                    WarpedVRT(
                        file, crs=CRS.from_user_input(view.crs), transform=Affine(*view.transform),
                        width=view.shape[1], height=view.shape[0], resampling=Resampling[view.interpolation],
                        warp_mem_limit=WARP_MEMORY, **alpha,
                    )
                )  # fmt: skip
            yield WindowReader(self.path, warped, self.header.bands, view.shape)


class WindowReader:
    """Reads windows of one view."""

    def __init__(self, path: Path, warped: Any, bands: tuple[int, ...], shape: tuple[int, int]) -> None:
        self._path, self._warped, self._bands, self.shape = path, warped, bands, shape

    def stored(self, window: Window, bands: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """(C, H, W) numbers as they are stored, and (C, H, W) bool where they were recorded. The window may reach
        beyond the grid: nothing was recorded there."""
        chosen = list(bands or self._bands)
        rows = max(window.top, 0), min(window.top + window.height, self.shape[0])
        columns = max(window.left, 0), min(window.left + window.width, self.shape[1])
        dtype = np.result_type(*(np.dtype(self._warped.dtypes[i - 1]) for i in chosen))
        out_CHW = np.zeros((len(chosen), window.height, window.width), dtype)
        known_CHW = np.zeros(out_CHW.shape, bool)
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            return out_CHW, known_CHW
        there = (
            slice(None),
            slice(rows[0] - window.top, rows[1] - window.top),
            slice(columns[0] - window.left, columns[1] - window.left),
        )
        with reading(self._path):
            out_CHW[there] = self._warped.read(chosen, window=(rows, columns))
            known_CHW[there] = self._warped.read_masks(chosen, window=(rows, columns)) > 0
        if dtype.kind == "f":
            known_CHW &= np.isfinite(out_CHW)
        return out_CHW, known_CHW


def _chosen(path: Path, header: Header, wanted: Sequence[str]) -> tuple[int, ...]:
    if not wanted:
        return header.bands
    names = {canonical_name(name): band for name, band in zip(header.descriptions, header.bands) if name}
    out = []
    for word in wanted:
        if canonical_name(word) in names:
            out.append(names[canonical_name(word)])
        elif word.isdigit() and int(word) in header.bands:
            out.append(int(word))
        else:
            known = ", ".join(header.descriptions[i] or str(b) for i, b in enumerate(header.bands))
            raise ConfigError(f"bands: {path} has no band '{word}'; it has {known} (a number counts from 1)")
    return tuple(out)


def _colours(file: Any) -> dict[int, tuple[int, int, int]] | None:
    try:
        return {value: rgba[:3] for value, rgba in file.colormap(1).items()}
    except ValueError:  # no palette
        return None
