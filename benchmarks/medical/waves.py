"""SIMULATED low-frequency images: a plane wave among smooth clutter. Legend: N = images, H, W = rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32
ORIENTATIONS = (0, 45, 90, 135)  # degrees of the direction in which the wave varies
CYCLES = (2.0, 3.0)  # per image side
CLUTTER_CYCLES = 1.5  # highest frequency of the clutter
CLUTTER_WAVES = 6
NAMES = tuple(f"{cycles:g} cycles at {angle} degrees" for cycles in CYCLES for angle in ORIENTATIONS)


@dataclass(frozen=True, slots=True)
class Waves:
    """images: (N, 32, 32) float32, mean about 0. kind: (N,) class numbers in the order of NAMES."""

    images: NDArray[np.float32]
    kind: NDArray[np.int64]


def waves(count: int, *, seed: int, noise: float = 0.1, clutter: float = 0.5) -> Waves:
    """`count` images; equal arguments give equal images, and every class occurs equally often (to one).

    The phase of the wave is uniform, so that a class has mean zero at every pixel: no linear function of the pixels
    tells it. clutter: deviation of the sum of six waves of any direction and at most 1.5 cycles; noise: of each pixel.
    """
    rng = np.random.default_rng([seed, count])
    kind = rng.permutation(np.arange(count) % len(NAMES))
    angle = np.deg2rad(np.array(ORIENTATIONS)[kind % len(ORIENTATIONS)] + rng.uniform(-10, 10, count))
    cycles = np.array(CYCLES)[kind // len(ORIENTATIONS)] * rng.uniform(0.95, 1.05, count)
    images = rng.uniform(0.7, 1.3, (count, 1, 1)) * _plane(angle, cycles, rng.uniform(0, 2 * np.pi, count))
    for _ in range(CLUTTER_WAVES):
        direction, phase = rng.uniform(0, np.pi, count), rng.uniform(0, 2 * np.pi, count)
        wave = _plane(direction, rng.uniform(0, CLUTTER_CYCLES, count), phase)
        images = images + clutter * np.sqrt(2 / CLUTTER_WAVES) * wave
    images = images + rng.normal(0, noise, images.shape)
    return Waves(images.astype(np.float32), kind)


def _plane(angle_N: NDArray[np.float64], cycles_N: NDArray[np.float64], phase_N: NDArray[np.float64]) -> NDArray:
    """(N, H, W) cos(2 pi f (x cos a + y sin a) + phase), x and y in [0, 1)."""
    axis = np.arange(SIDE) / SIDE
    along = np.cos(angle_N)[:, None, None] * axis[None, None] + np.sin(angle_N)[:, None, None] * axis[None, :, None]
    return np.cos(2 * np.pi * cycles_N[:, None, None] * along + phase_N[:, None, None])
