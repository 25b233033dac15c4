"""Windows over the ground that two rasters share, and the matches found in them.

Shape legend: N = matches, S = side of a window. Points are (x, y) in pixels of a level's grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.errors import ConfigError, DataError
from domains.remote_sensing.coregister.geo import matrix_of, mean_pixel, sampled_at
from domains.remote_sensing.coregister.rasters import SceneRaster, View, WindowReader
from domains.remote_sensing.coregister.voters import Voter
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.raster import Window, apply
from domains.remote_sensing.registration.fit import Model
from domains.remote_sensing.registration.grey import composite

LEAST_KNOWN = 0.5  # share of a window that both rasters must show


@dataclass(frozen=True, slots=True)
class Settings:
    """window: side in pixels of a level. windows: at most so many of a level. levels: how many times coarser than the
    finer of both rasters allows, coarse to fine; model: of the last one (those before it find shifts). threshold:
    pixels of a level within which a match agrees."""

    model: Model = "affine"
    window: int = 256
    windows: int = 36
    levels: tuple[float, ...] = (4.0, 1.0)
    threshold: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in ("shift", "similarity", "affine"):
            raise ConfigError(f"model: is '{self.model}'; a GeoTIFF's grid can follow shift, similarity or affine")
        if self.window < 32 or self.window % 32:
            raise ConfigError(f"window: is {self.window}; give a multiple of 32 pixels")
        if self.windows < 1 or not self.levels or min(self.levels) < 1:
            raise ConfigError(f"windows {self.windows} is at least 1, levels {self.levels} are factors of at least 1")
        if not 0 < self.threshold < self.window / 2:
            raise ConfigError(f"threshold: is {self.threshold}; give pixels above 0, below half a window")


@dataclass(frozen=True, slots=True)
class Votes:
    """Matches of a level: points of the moving raster as it is shown there, and of the reference. window_N: in which
    window. places: the windows."""

    moving_N2: np.ndarray  # noqa: N815
    fixed_N2: np.ndarray  # noqa: N815
    window_N: np.ndarray  # noqa: N815
    places: tuple[Window, ...]


def collect(
    moving: SceneRaster, fixed: SceneRaster, grid: Grid, correction_33: np.ndarray, voter: Voter, settings: Settings,
    area: tuple[float, float, float, float],
) -> Votes:  # fmt: skip
    """Matches in windows spread over the ground that both cover."""
    points: list[tuple[np.ndarray, np.ndarray]] = []
    places: list[Window] = []
    with (
        moving.seen(View(grid.shape, sampled_at(grid, correction_33), grid.crs)) as moving_windows,
        fixed.seen(View(grid.shape, grid.transform, grid.crs)) as fixed_windows,
    ):
        for window in spread(grid, area, settings):
            seen = [grey(r, window, s.bands) for r, s in ((moving_windows, moving), (fixed_windows, fixed))]
            if min(known.mean() for _, known in seen) < LEAST_KNOWN:
                continue
            (moving_SS, moving_known), (fixed_SS, fixed_known) = seen
            found = voter(moving_SS, fixed_SS, moving_known, fixed_known)
            corner = np.array([window.left, window.top], np.float64)
            points.append((found[0] + corner, found[1] + corner))
            places.append(window)
            if len(places) == settings.windows:
                break
    if not places:
        raise DataError(
            f"{moving.path} and {fixed.path}: no window of {settings.window} pixels ({mean_pixel(grid):g} CRS units "
            f"each) is recorded in both to at least {LEAST_KNOWN:.0%}; check that they cover the same ground, "
            "or give a smaller --window"
        )
    numbers = np.concatenate([np.full(len(a), i) for i, (a, _) in enumerate(points)])
    moving_N2, fixed_N2 = (np.concatenate([p[side] for p in points]) for side in (0, 1))
    return Votes(moving_N2, fixed_N2, numbers, tuple(places))


def grey(reader: WindowReader, window: Window, bands: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) float32 in [0, 1] of a window, as the matcher saw pictures in training, and what is known in it."""
    stored_CSS, known_CSS = reader.stored(window, bands)
    known_SS = np.asarray(known_CSS.all(axis=0))
    values = torch.from_numpy(np.where(known_CSS, stored_CSS, 0).astype(np.float32))
    shown = composite(values[None], torch.from_numpy(known_SS)[None])
    return shown[0, 0].numpy(), known_SS


def spread(grid: Grid, area: tuple[float, float, float, float], settings: Settings) -> list[Window]:
    """Windows over the shared area (left, top, right, bottom as shares of the grid), in an order that is spread out."""
    side = settings.window
    starts = []
    for length, (low, high) in zip(grid.shape, ((area[1], area[3]), (area[0], area[2]))):
        begin, end = int(low * length), max(math.ceil(high * length), int(low * length) + 1)
        room = end - begin - side
        if room <= 0:
            starts.append([begin + room // 2])
            continue
        count = min(math.ceil((room + side) / side), 4 * math.ceil(math.sqrt(settings.windows)))
        starts.append([begin + round(i * room / (count - 1)) for i in range(count)])
    places = [Window(top, left, side, side) for top in starts[0] for left in starts[1]]
    order = np.random.default_rng(settings.seed).permutation(len(places))
    return [places[i] for i in order]


def footprint(moving: Grid, fixed: Grid) -> tuple[float, float, float, float]:
    """The part of the reference's grid that the moving raster claims to cover: left, top, right, bottom, as shares.

    Raises DataError when there is none.
    """
    from rasterio.warp import transform as reproject

    edge = np.linspace(0, 1, 21)
    ring = np.concatenate(
        [np.stack(p, 1) for p in ((edge, 0 * edge), (edge, 0 * edge + 1), (0 * edge, edge), (0 * edge + 1, edge))]
    )
    places = [apply(moving.transform, x * moving.shape[1], y * moving.shape[0]) for x, y in ring]
    x, y = zip(*places)
    if moving.crs != fixed.crs:
        x, y = reproject(moving.crs, fixed.crs, list(x), list(y))
    inverse = np.linalg.inv(matrix_of(fixed.transform))
    pixels = (inverse @ np.stack([x, y, np.ones(len(x))]))[:2].T / np.array(fixed.shape[::-1])
    low, high = np.clip(pixels.min(0), 0, 1), np.clip(pixels.max(0), 0, 1)
    if not np.isfinite(pixels).all() or (high <= low).any():
        raise DataError(
            f"the rasters do not overlap: the moving one covers columns {pixels[:, 0].min():.2f} to "
            f"{pixels[:, 0].max():.2f} and rows {pixels[:, 1].min():.2f} to {pixels[:, 1].max():.2f} of the "
            "reference (as shares of its size); check their CRS"
        )
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
