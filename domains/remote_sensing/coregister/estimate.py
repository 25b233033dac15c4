"""The correction that brings one raster onto another: from coarse pixels to fine ones, windows, matches, one fit.

Shape legend: N = matches, S = side of a window. Points are (x, y) in pixels of a level's grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from core.errors import ConfigError, DataError
from domains.remote_sensing.coregister.geo import Ground, coarser, in_crs, mean_pixel, pixel_in, sampled_at
from domains.remote_sensing.coregister.rasters import SceneRaster, View, WindowReader
from domains.remote_sensing.coregister.voters import Voter
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.raster import Window, apply
from domains.remote_sensing.registration.fit import Fit, Model, NoConsensusError, fit_transform
from domains.remote_sensing.registration.grey import composite

LEAST_KNOWN = 0.5  # share of a window that both rasters must show
PROBE = np.array([[1, 0, 5.25], [0, 1, -3.75], [0, 0, 1]])  # pixels: a displacement that is put in to be found again
PROBED = 12  # windows that look for it
Tell = Callable[[str], None]


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


@dataclass(frozen=True, slots=True)
class Alignment:
    """correction_33: from where the moving raster says a place lies to where the reference shows it, in the reference's
    CRS. grid: of the last level. fit, votes: of it; before_33: the correction that the level began with. shift_m: east
    and north at the middle, metres; shift_px: columns and rows of the reference's pixels. rms_px: of the inliers, in
    reference pixels; rms_m: metres. probe_px: how far a displacement that was put in was missed, reference pixels."""

    correction_33: np.ndarray
    before_33: np.ndarray
    grid: Grid
    fit: Fit
    votes: Votes
    shift_m: tuple[float, float]
    shift_px: tuple[float, float]
    rms_px: float
    rms_m: float
    probe_px: float


def align(moving: SceneRaster, fixed: SceneRaster, voter: Voter, settings: Settings, tell: Tell = print) -> Alignment:
    """Estimate the correction. Raises NoConsensusError, and never returns the identity for want of anything better."""
    what = f"{moving.path.name} and {fixed.path.name}"
    reference = fixed.grid
    ground = Ground.of(reference)
    with_pixel = pixel_in(moving.grid.transform, moving.grid.shape, moving.grid.crs, reference.crs)
    base = max(1.0, with_pixel / mean_pixel(reference))
    area = footprint(moving.grid, reference)
    correction_33, found = np.eye(3), None
    for number, factor in enumerate(settings.levels):
        last = number == len(settings.levels) - 1
        grid = coarser(reference, base * factor)
        if not last and min(grid.shape) < settings.window / 2:
            continue  # too small a picture to tell anything
        level = settings if last else replace(settings, model="shift")
        votes = collect(moving, fixed, grid, correction_33, voter, level, area)
        try:
            fit = _fitted(votes, level, what)
        except NoConsensusError:
            if last:
                raise
            tell(f"level {factor:g}: no agreement among {len(votes.moving_N2)} matches; going on with finer pixels")
            continue
        before_33, correction_33 = correction_33, in_crs(fit.matrix_33, grid.transform) @ correction_33
        found = grid, fit, votes, before_33
        tell(
            f"level {factor:g}: {int(fit.inliers_N.sum())} of {len(fit.inliers_N)} matches in {len(votes.places)} "
            f"windows agree, rms {fit.rms:.2f} px"
        )
    assert found is not None  # the last level sets it, or raises
    grid, fit, votes, before_33 = found
    probe = probe_error(moving, fixed, grid, correction_33, voter, settings, area, what)
    scale = mean_pixel(grid) / mean_pixel(reference)
    if probe > max(settings.threshold, 1.0):
        raise NoConsensusError(
            f"{what}: the matches do not follow the content: a displacement that was put in was missed by {probe:.1f} "
            "px, so what they agree on says nothing; use another matcher (--checkpoint), or other bands"
        )
    shift_m, shift_px = shifts(correction_33, reference, ground)
    wide, high = ground.pixel(grid.transform)
    return Alignment(
        correction_33, before_33, grid, fit, votes, shift_m, shift_px, fit.rms * scale,
        fit.rms * math.sqrt(wide * high), probe * scale,
    )  # fmt: skip


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
            f"each) is recorded in both to at least {LEAST_KNOWN:.0%}; check that they cover the same ground"
        )
    numbers = np.concatenate([np.full(len(a), i) for i, (a, _) in enumerate(points)])
    moving_N2, fixed_N2 = (np.concatenate([p[side] for p in points]) for side in (0, 1))
    return Votes(moving_N2, fixed_N2, numbers, tuple(places))


def grey(reader: WindowReader, window: Window, bands: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) float32 in [0, 1] of a window, as the matcher saw pictures in training, and what is known in it."""
    stored_CSS, known_CSS = reader.stored(window, bands)
    known_SS = known_CSS.all(axis=0)
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
    inverse = np.linalg.inv(np.vstack([np.reshape(fixed.transform, (2, 3)), (0, 0, 1)]))
    pixels = (inverse @ np.stack([x, y, np.ones(len(x))]))[:2].T / np.array(fixed.shape[::-1])
    low, high = np.clip(pixels.min(0), 0, 1), np.clip(pixels.max(0), 0, 1)
    if not np.isfinite(pixels).all() or (high <= low).any():
        raise DataError(
            f"the rasters do not overlap: the moving one covers columns {pixels[:, 0].min():.2f} to "
            f"{pixels[:, 0].max():.2f} and rows {pixels[:, 1].min():.2f} to {pixels[:, 1].max():.2f} of the "
            "reference (as shares of its size); check their CRS"
        )
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def probe_error(
    moving: SceneRaster, fixed: SceneRaster, grid: Grid, correction_33: np.ndarray, voter: Voter, settings: Settings,
    area: tuple[float, float, float, float], what: str,
) -> float:  # fmt: skip
    """How far, in pixels of the grid, a known displacement of the corrected raster is missed: a matcher that has
    learned how pairs usually lie, and not to look at them, misses it."""
    displaced_33 = in_crs(PROBE, grid.transform) @ correction_33
    level = replace(settings, model="shift", windows=min(PROBED, settings.windows))
    votes = collect(moving, fixed, grid, displaced_33, voter, level, area)
    try:
        fit = _fitted(votes, level, what)
    except NoConsensusError:
        return math.inf
    return float(np.linalg.norm((PROBE @ fit.matrix_33)[:2, 2]))


def shifts(correction_33: np.ndarray, grid: Grid, ground: Ground) -> tuple[tuple[float, float], tuple[float, float]]:
    """The correction at the middle of a grid: (east, north) in metres, (columns, rows) in its pixels."""
    x, y = apply(grid.transform, grid.shape[1] / 2, grid.shape[0] / 2)
    moved = correction_33 @ np.array([x, y, 1.0])
    dx, dy = float(moved[0] - x), float(moved[1] - y)
    columns, rows = np.linalg.solve(np.reshape(grid.transform, (2, 3))[:, :2], np.array([dx, dy]))
    return ground.vector(dx, dy), (float(columns), float(rows))


def _fitted(votes: Votes, settings: Settings, what: str) -> Fit:
    return fit_transform(
        votes.moving_N2, votes.fixed_N2, model=settings.model, threshold=settings.threshold,
        reach=settings.window, seed=settings.seed, what=what,
    )  # fmt: skip
