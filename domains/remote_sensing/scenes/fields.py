"""Random fields: the raw material of terrain, vegetation, clouds and label noise.

Shape legend: N = fields, H, W = rows and columns.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def fractal(rng: np.random.Generator, count: int, size: int, *, beta: float, longest: float = 0.0) -> Field:
    """(N, size, size) fields of mean 0 and deviation 1 whose power falls as frequency^-beta.

    beta: 2 is rough ground, 3 rolling hills, 4 smooth. longest: wavelengths above it, in pixels, carry no more power
    than those at it; 0 = no limit. Opposite edges meet (the field is periodic), and the sum over the field is 0.
    """
    from scipy import fft

    white = rng.standard_normal((count, size, size // 2 + 1, 2), dtype=np.float32)
    spectrum = (white[..., 0] + 1j * white[..., 1]) * _filter(size, beta, longest)
    out: Field = fft.irfft2(spectrum, s=(size, size)).astype(np.float32, copy=False)
    return out / out.std(axis=(1, 2), keepdims=True)


@functools.lru_cache(maxsize=32)
def _filter(size: int, beta: float, longest: float) -> Field:
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = 1
    if longest > 0:
        frequency = np.maximum(frequency, 1 / longest)
    weights = (frequency * size) ** (-beta / 2)
    weights[0, 0] = 0
    return weights.astype(np.float32)


def turned(size: int, angle: float, rng: np.random.Generator | None = None) -> tuple[Field, Field]:
    """Coordinates (u, v) in pixels about the centre, turned by `angle` (radians); with `rng`, the centre is random."""
    at = rng.uniform(-0.3, 0.3, 2) * size if rng is not None else np.zeros(2)
    y, x = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32), indexing="ij")
    x, y = x - np.float32(size / 2 + at[0]), y - np.float32(size / 2 + at[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def at_share(field: NDArray[np.floating], share: float) -> float:
    """The value that the largest `share` of a field exceeds."""
    if share <= 0:
        return np.inf
    if share >= 1:
        return -np.inf
    flat = field.ravel()
    position = min(len(flat) - 1, int((1 - share) * len(flat)))
    return float(np.partition(flat, position)[position])


def blurred(stack: Field, side: float) -> Field:
    """Each plane of (..., H, W) with the weights (side, 1 - 2 side, side) along both axes; edges repeat."""
    middle = np.float32(1 - 2 * side)
    for axis in (-1, -2):
        moved = np.moveaxis(stack, axis, -1)
        out = moved * middle
        out[..., 1:] += np.float32(side) * moved[..., :-1]
        out[..., :-1] += np.float32(side) * moved[..., 1:]
        out[..., 0] += np.float32(side) * moved[..., 0]
        out[..., -1] += np.float32(side) * moved[..., -1]
        stack = np.moveaxis(out, -1, axis)
    return stack
