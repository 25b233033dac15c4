"""SIMULATED pictures of one shape in one quarter of a 32 px frame, and template sentences that say so.

Shape legend: N = pictures, S = sub-pixels along a side, H, W = rows and columns. No patient is behind any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32
SUBPIXELS = 2  # per pixel and axis, averaged: edges are grey as they are in a sampled picture
Floats = NDArray[np.float64]


def _triangle(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return (v < 0.75) & (2 * np.abs(u) < v + 1.1)


def _plus(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return (np.minimum(np.abs(u), np.abs(v)) < 0.3) & (np.maximum(np.abs(u), np.abs(v)) < 1)


SHAPES: dict[str, Callable[[Floats, Floats], NDArray[np.bool_]]] = {  # u to the right, v down, radius 1
    "disk": lambda u, v: u**2 + v**2 < 0.85,
    "ring": lambda u, v: (u**2 + v**2 < 1) & (u**2 + v**2 > 0.3),
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) < 0.8,
    "diamond": lambda u, v: np.abs(u) + np.abs(v) < 1.1,
    "triangle": _triangle,
    "plus": _plus,
    "cross": lambda u, v: _plus((u + v) * np.sqrt(0.5), (u - v) * np.sqrt(0.5)),
    "bar": lambda u, v: (np.abs(v) < 0.35) & (np.abs(u) < 1.15),
}
POSITIONS = {"upper left": (-1, -1), "upper right": (1, -1), "lower left": (-1, 1), "lower right": (1, 1)}
TEMPLATES = (
    "There is a {shape} in the {position} quarter.",
    "A {shape} is seen at the {position}.",
    "The {position} shows a {shape}.",
    "{position} {shape}.",
    "Findings: {shape}, {position} quarter of the image.",
    "In the {position} quarter lies a {shape}.",
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """images: (N, 32, 32) float32, about 0 background and 1 shape. shape, position: (N,) class numbers in the order of
    SHAPES and POSITIONS. sentences: one per picture, every word of it true."""

    images: NDArray[np.float32]
    shape: NDArray[np.int64]
    position: NDArray[np.int64]
    sentences: tuple[str, ...]

    @property
    def kind(self) -> NDArray[np.int64]:
        """Shape and position as one number, below 32."""
        return self.shape * len(POSITIONS) + self.position


def pictures(count: int, *, seed: int, noise: float = 0.2, shapes: int = len(SHAPES)) -> Pictures:
    """`count` pictures; equal arguments give equal pictures.

    Every combination occurs equally often (to one). Size (5 to 7 px radius), place (+-2 px), tilt (+-15 degrees),
    contrast (0.5 to 1) and a linear background differ from picture to picture; noise: deviation of each pixel.
    shapes: use the first so many.
    """
    rng = np.random.default_rng([seed, count])
    kinds = rng.permutation(np.arange(count) % (shapes * len(POSITIONS)))
    shape, position = kinds // len(POSITIONS), kinds % len(POSITIONS)
    centre = (np.array(list(POSITIONS.values()))[position] + 2) * SIDE / 4 + rng.uniform(-2, 2, (count, 2))
    radius, tilt = rng.uniform(5, 7, count), np.deg2rad(rng.uniform(-15, 15, count))
    grid_S = (np.arange(SIDE * SUBPIXELS) + 0.5) / SUBPIXELS
    x, y = ((grid_S[None] - c[:, None]) / radius[:, None] for c in centre.T)
    cos, sin = np.cos(tilt)[:, None, None], np.sin(tilt)[:, None, None]
    u, v = cos * x[:, None] + sin * y[:, :, None], cos * y[:, :, None] - sin * x[:, None]
    inside = np.empty(u.shape)
    for number, holds in enumerate(SHAPES.values()):
        rows = shape == number
        inside[rows] = holds(u[rows], v[rows])
    covered = inside.reshape(count, SIDE, SUBPIXELS, SIDE, SUBPIXELS).mean(axis=(2, 4))
    slope = rng.uniform(-0.3, 0.3, (2, count, 1, 1))
    axis = np.linspace(-1, 1, SIDE)
    background = slope[0] * axis[:, None] + slope[1] * axis[None]
    images = rng.uniform(0.5, 1, (count, 1, 1)) * covered + background + rng.normal(0, noise, (count, SIDE, SIDE))
    wording = rng.integers(0, len(TEMPLATES), count)
    shape_names, position_names = list(SHAPES), list(POSITIONS)
    sentences = tuple(
        TEMPLATES[w].format(shape=shape_names[s], position=position_names[p])
        for w, s, p in zip(wording, shape, position, strict=True)
    )
    return Pictures(images.astype(np.float32), shape, position, sentences)
