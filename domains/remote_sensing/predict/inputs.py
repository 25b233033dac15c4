"""The rasters of a scene: opened once to learn their grid, then read in windows through the model's own processor.

Shape legend: C = bands, H, W = rows and columns of a window.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ConfigError, DataError
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.io.open import ACCEPTED, folder_source
from domains.remote_sensing.io.read import grid_of, read_raster
from domains.remote_sensing.processors.raster import MISSING, RasterProcessor
from domains.remote_sensing.raster import Raster, Transform, Window, apply, lonlat_of, same_grid


@dataclass(frozen=True, slots=True)
class MapInput:
    """One raster of a scene. source: a file, a folder with one file per band, a RasterSource or a Raster in memory.
    processor: the one that the model was trained with; it chooses bands, converts units and normalises."""

    source: Path | str | RasterSource | Raster
    processor: RasterProcessor


@dataclass(frozen=True, slots=True)
class Grid:
    """What all rasters of a scene share, and its map has: rows and columns, transform, CRS ("" = none is stated)."""

    shape: tuple[int, int]
    transform: Transform
    crs: str


class SceneInput:
    """A MapInput that is read in windows. Raises DataError when its header cannot be read."""

    def __init__(self, given: MapInput) -> None:
        if not isinstance(given.processor, RasterProcessor):
            raise ConfigError(f"a scene is read by a RasterProcessor, not by a {type(given.processor).__name__}")
        self.processor = copy.copy(given.processor)
        self.processor.size = None  # windows are cut here, not around the middle of a tile
        self.source: RasterSource | Raster
        self.described = isinstance(given.source, (str, Path))
        if isinstance(given.source, Raster):
            self.source = given.source
            self.grid = Grid(given.source.shape, given.source.transform, given.source.crs)
            return
        self.source = _file(given.source, self.processor)
        transform, shape, crs = grid_of(self.source, pixel=self.processor.pixel)
        self.grid = Grid(shape, transform, crs)

    @property
    def name(self) -> str:
        return "the raster in memory" if isinstance(self.source, Raster) else str(self.source.path)

    def read(self, window: Window) -> dict[str, np.ndarray]:
        """The processor's sample of a window: `x` (C, H, W) int16, MISSING where nothing was recorded; `day`.

        `known` (H, W) bool: every band was recorded (a band that the whole raster lacks aside).
        """
        if isinstance(self.source, Raster):
            raster = self.source.window(window)
        else:
            raster = read_raster(
                self.source, window=window, pixel=self.processor.pixel, resampling=self.processor.resampling,
                described=self.described, allow_empty=True,
            )  # fmt: skip
        sample = self.processor.load(raster)
        there = [i for i, name in enumerate(self.processor.spec.names) if name in raster.spec.names]
        return {**sample, "known": (sample["x"][there] != MISSING).all(axis=0)}

    def lonlat(self, window: Window) -> np.ndarray:
        """(2,) longitude and latitude of the middle of a window, degrees; nan without a CRS."""
        middle = window.left + window.width / 2, window.top + window.height / 2
        return np.array(lonlat_of(self.grid.crs, apply(self.grid.transform, *middle)), np.float64)

    def facts(self) -> dict[str, Any]:
        """What must not change between two runs of one map: the files, and how they are read."""
        config = {k: str(v) for k, v in sorted(self.processor.config().items()) if k not in NOT_IN_INFERENCE}
        about = {
            "processor": type(self.processor).__name__,
            **config,
            "learned": str(self.processor.normalisation.known),
        }
        if isinstance(self.source, Raster):
            return {**about, "source": _digest(self.source.values_CHW)}
        files = [self.source.path / name for name in self.source.files] or [self.source.path]
        return {**about, "source": [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]}


NOT_IN_INFERENCE = frozenset({"size", "crop", "crop_step", "flip", "rotate", "gain", "shift"})


def open_inputs(inputs: Mapping[str, MapInput]) -> tuple[dict[str, SceneInput], Grid]:
    """All rasters of a scene and their common grid. Raises DataError naming the first that lies on another grid."""
    if not inputs:
        raise ConfigError("inputs: none is given; a map is made of at least one raster")
    opened = {name: SceneInput(given) for name, given in inputs.items()}
    first, *others = opened.values()
    for other in others:
        ours, theirs = first.grid, other.grid
        if ours.crs != theirs.crs:
            raise DataError(
                f"{other.name}: its CRS is {theirs.crs or 'none'}, that of {first.name} is {ours.crs or 'none'}; warp "
                "it onto that grid (gdalwarp -t_srs)"
            )
        if not same_grid(ours.transform, ours.shape, theirs.transform, theirs.shape):
            raise DataError(
                f"{other.name}: lies on another grid than {first.name}: {_told(theirs)}, expected {_told(ours)}; warp "
                "it onto that grid (gdalwarp -te -tr), or set `pixel` of its processor"
            )
    return opened, first.grid


def _file(source: Path | str | RasterSource, processor: RasterProcessor) -> RasterSource:
    if isinstance(source, (str, Path)):
        path = Path(source)
        return folder_source(path, processor.stored) if path.is_dir() else RasterSource(path, processor.stored)
    if not isinstance(source, RasterSource):
        raise DataError(f"cannot map a {type(source).__name__}; give {ACCEPTED}")
    return source


def _told(grid: Grid) -> str:
    a, b, c, d, e, f = grid.transform
    return f"{grid.shape[0]} x {grid.shape[1]} pixels from ({c:g}, {f:g}) in steps of ({a or b:g}, {e or d:g})"


def _digest(values_CHW: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(values_CHW).tobytes()).hexdigest()[:32]
