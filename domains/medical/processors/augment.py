"""Small random variations of images, fast enough for the loader (about 2 ms for 24 x 96 x 96 voxels).

There is no mirroring: a mirrored chest has its heart on the right, and reports name sides.
"""

from __future__ import annotations

import functools

import numpy as np


def axis_map(count: int, rng: np.random.Generator, *, shift: float, scale: float) -> np.ndarray:
    """(count,) positions to sample an axis at: scaled about its centre and shifted, both uniformly.

    shift: largest displacement as a share of the axis. scale: largest relative change of size.
    """
    centre = (count - 1) / 2
    zoom = 1 + rng.uniform(-scale, scale)
    return centre + (np.arange(count) - centre) / zoom + rng.uniform(-shift, shift) * count


def linear_weights(positions: np.ndarray, count: int) -> np.ndarray:
    """(len(positions), count) float32 of linear interpolation; weights outside the axis are 0."""
    weights = np.zeros((len(positions), count + 2), np.float32)
    clipped = np.clip(positions, -1, count) + 1
    low = np.minimum(np.floor(clipped).astype(int), count)
    rows, part = np.arange(len(positions)), (clipped - low).astype(np.float32)
    weights[rows, low] = 1 - part
    weights[rows, low + 1] = part
    return weights[:, 1:-1]


def nearest_index(positions: np.ndarray, count: int) -> np.ndarray:
    """(len(positions),) index of the nearest voxel; -1 outside the axis."""
    index = np.floor(positions + 0.5).astype(int)
    return np.where((index >= 0) & (index < count), index, -1)


def noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of 256 levels, float32: an order of magnitude faster than exact normal numbers."""
    levels = np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8)
    return (_levels() * np.float32(sigma))[levels].reshape(shape)


@functools.cache
def _levels() -> np.ndarray:
    from scipy.special import ndtri

    levels = ndtri((np.arange(256) + 0.5) / 256)
    return (levels / levels.std()).astype(np.float32)
