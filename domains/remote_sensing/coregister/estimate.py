"""The correction that brings one raster onto another: from coarse pixels to fine ones, then a check of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from domains.remote_sensing.coregister.geo import Ground, coarser, in_crs, mean_pixel, pixel_in
from domains.remote_sensing.coregister.rasters import SceneRaster
from domains.remote_sensing.coregister.voters import Voter
from domains.remote_sensing.coregister.windows import Settings, Votes, collect, footprint
from domains.remote_sensing.predict.inputs import Grid
from domains.remote_sensing.raster import apply
from domains.remote_sensing.registration.fit import Fit, NoConsensusError, fit_transform

PROBE = np.array([[1, 0, 5.25], [0, 1, -3.75], [0, 0, 1]])  # pixels: a displacement that is put in to be found again
PROBED = 12  # windows that look for it
Tell = Callable[[str], None]


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
