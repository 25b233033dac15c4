"""Small rasters for the tests, written by rasterio as anyone would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine

from domains.remote_sensing.sensors import PRESETS

ORIGIN = (500_000.0, 5_300_000.0)
CRS = "EPSG:32632"


def north_up(pixel: float = 10.0, origin: tuple[float, float] = ORIGIN) -> tuple[float, ...]:
    return (pixel, 0.0, origin[0], 0.0, -pixel, origin[1])


def write_tif(
    path: Path,
    array: np.ndarray,
    *,
    transform: Sequence[float] | None = None,
    crs: str | None = CRS,
    nodata: float | None = None,
    names: Sequence[str] = (),
    scale: float | None = None,
    offset: float = 0.0,
    **options: Any,
) -> Path:
    """One GeoTIFF of (H, W) or (C, H, W)."""
    array = array[None] if array.ndim == 2 else array
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {} if transform is None else {"transform": Affine(*transform)}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(array), height=array.shape[1], width=array.shape[2],
        dtype=array.dtype.name, crs=crs, nodata=nodata, **given, **options,
    ) as file:  # fmt: skip
        file.write(array)
        for i, name in enumerate(names, start=1):
            file.set_band_description(i, name)
        if scale is not None:
            file.scales, file.offsets = (scale,) * len(array), (offset,) * len(array)
    return path


def write_bands(folder: Path, side: int = 24, *, product: str = "sentinel2_l2a", seed: int = 0, origin=ORIGIN) -> dict:
    """One uint16 file per band in its own resolution, over the same ground; returns band -> counts."""
    rng, out = np.random.default_rng(seed), {}
    for band in PRESETS[product].bands:
        step = int(band.gsd // 10)
        counts = rng.integers(200, 4000, (side // step, side // step)).astype(np.uint16)
        write_tif(folder / f"{band.name}.tif", counts, transform=north_up(band.gsd, origin), nodata=0)
        out[band.name] = counts
    return out


def radar_db(side: int = 24, seed: int = 0) -> np.ndarray:
    """(2, H, W) float32: VV and VH in dB."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.normal(-12, 2, (side, side)), rng.normal(-19, 2, (side, side))]).astype(np.float32)
