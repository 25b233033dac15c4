"""The corrected raster on the reference's grid, block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from domains.remote_sensing.coregister.geo import sampled_at
from domains.remote_sensing.coregister.rasters import Interpolation, SceneRaster, View
from domains.remote_sensing.io.write import BLOCK, MapWriter
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.raster import Window


def fill_of(moving: SceneRaster) -> float:
    """What stands for missing pixels in the output: the raster's own nodata; else nan for floats, 0 for integers."""
    if moving.header.nodata is not None:
        return moving.header.nodata
    return float("nan") if np.dtype(moving.dtype).kind == "f" else 0.0


def write_corrected(
    moving: SceneRaster, grid: Grid, correction_33: np.ndarray, path: Path, interpolation: Interpolation
) -> float:
    """Write all bands with their type, names, scales, palette and nodata on `grid`; returns the share of its pixels
    that were recorded. Memory holds one block of 512 x 512 pixels of all bands, whatever the size of the scene."""
    header, fill = moving.header, fill_of(moving)
    known = 0
    tags = {"ACQUISITION_DATE": header.time} if header.time else {}
    tags["COREGISTERED_FROM"] = moving.path.name
    scale = None if header.scale is None else (header.scale, header.offset)
    with (
        moving.seen(View(grid.shape, sampled_at(grid, correction_33), grid.crs, interpolation)) as reader,
        MapWriter(
            path, shape=grid.shape, transform=grid.transform, crs=grid.crs, dtype=moving.dtype, nodata=fill,
            names=header.descriptions, colours=moving.colours, tags=tags, scale=scale,
        ) as out,
    ):  # fmt: skip
        for top in range(0, grid.shape[0], BLOCK):
            for left in range(0, grid.shape[1], BLOCK):
                window = Window(top, left, min(BLOCK, grid.shape[0] - top), min(BLOCK, grid.shape[1] - left))
                stored_CHW, known_CHW = reader.stored(window)
                known += int(known_CHW.all(axis=0).sum())
                if known_CHW.any():
                    stored_CHW[~known_CHW] = fill
                    out.write(stored_CHW.astype(moving.dtype), window)
    return known / (grid.shape[0] * grid.shape[1])
