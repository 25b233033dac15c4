"""Two rasters of one invented ground, the second in the wrong place by a known correction, for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rs_files import CRS, write_tif
from scipy.ndimage import gaussian_filter, map_coordinates

ORIGIN = (500_000.0, 5_300_000.0)


def ground(side: int, seed: int = 0) -> np.ndarray:
    """(side, side) float64 smooth texture of mean 0 and deviation 1."""
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.standard_normal((side, side)), s) * s for s in (2.0, 5.0, 12.0)]
    out = np.asarray(sum(layers))
    return (out - out.mean()) / out.std()


def shown(texture: np.ndarray, place_33: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The texture where `place_33` takes the pixels (column, row, 1) of a picture of `shape`, cubic."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x, y = (place_33 @ np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)]))[:2]
    return map_coordinates(texture, [y.reshape(shape), x.reshape(shape)], order=3, mode="nearest")


def reference(folder: Path, texture: np.ndarray, margin: int = 40) -> Path:
    """The inner part of the texture, 10 m pixels, float32, contrast as it is."""
    inner = texture[margin:-margin, margin:-margin].astype(np.float32)
    return write_tif(folder / "reference.tif", inner, transform=(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), nodata=-9999.0)


def moving(
    folder: Path, texture: np.ndarray, claimed_shift: tuple[float, float], *, margin: int = 40, pixel: float = 10.0,
    name: str = "moving.tif", shape: tuple[int, int] | None = None,
) -> Path:  # fmt: skip
    """The same ground with inverted contrast as uint16, claimed to lie `claimed_shift` metres (east, north) from where
    it is: the correction that a registration has to find is the opposite."""
    inner = texture.shape[0] - 2 * margin
    ratio = pixel / 10
    shape = shape or (int(inner / ratio), int(inner / ratio))
    centre = (ratio - 1) / 2
    place_33 = np.array([[ratio, 0, margin + centre], [0, ratio, margin + centre], [0, 0, 1.0]])
    counts = np.clip(3000 - 600 * shown(texture, place_33, shape), 1, 65535).round().astype(np.uint16)
    east, north = claimed_shift
    transform = (pixel, 0, ORIGIN[0] + east, 0, -pixel, ORIGIN[1] + north)
    return write_tif(folder / name, counts, transform=transform, nodata=0, names=["B04"], crs=CRS)
