"""A quick-look of what was done: checkerboards before and after, and the matches of the window with most agreement."""

from __future__ import annotations

import io

import numpy as np

from domains.remote_sensing.coregister.estimate import Alignment
from domains.remote_sensing.coregister.geo import sampled_at
from domains.remote_sensing.coregister.rasters import SceneRaster, View
from domains.remote_sensing.coregister.windows import grey
from domains.remote_sensing.raster import Window

SQUARES = 8  # of the checkerboard along an axis
LINES = 60  # matches drawn, at most


def quick_look(moving: SceneRaster, fixed: SceneRaster, found: Alignment, before_px: str) -> bytes:
    """PNG of one window: reference and moving raster in alternating squares, without and with the correction, and
    matched points of both, green where they agree with the fit and red where they do not."""
    from matplotlib.figure import Figure

    number = best_window(found)
    window = found.votes.places[number]
    pictures = {
        "reference": _seen(fixed, found, window, None),
        "before": _seen(moving, found, window, np.eye(3)),
        "shown to the matcher": _seen(moving, found, window, found.before_33),
        "after": _seen(moving, found, window, found.correction_33),
    }
    figure = Figure(figsize=(12, 11), layout="constrained")
    axes = figure.subplot_mosaic([["before", "after"], ["lines", "lines"]])
    for name in ("before", "after"):
        axes[name].imshow(checkerboard(pictures["reference"], pictures[name]), cmap="gray", vmin=0, vmax=1)
        axes[name].set_title(f"{name}: squares of the reference and of the moving raster")
    side = window.width
    both = np.concatenate(
        [pictures["reference"], np.ones((window.height, side // 16)), pictures["shown to the matcher"]], 1
    )
    axes["lines"].imshow(both, cmap="gray", vmin=0, vmax=1)
    here = np.flatnonzero(found.votes.window_N == number)
    here = here[np.linspace(0, len(here) - 1, min(LINES, len(here))).astype(int)]
    corner = np.array([window.left, window.top])
    for i in here:
        a, b = found.votes.fixed_N2[i] - corner, found.votes.moving_N2[i] - corner + [side + side // 16, 0]
        colour = "tab:green" if found.fit.inliers_N[i] else "tab:red"
        axes["lines"].plot([a[0], b[0]], [a[1], b[1]], color=colour, linewidth=0.6)
    axes["lines"].set_title(f"matches: reference left, moving right; {before_px}")
    for axis in axes.values():
        axis.set_axis_off()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=80)
    return out.getvalue()


def best_window(found: Alignment) -> int:
    """Number of the window with the most matches that agree with the fit."""
    return int(np.bincount(found.votes.window_N[found.fit.inliers_N], minlength=len(found.votes.places)).argmax())


def checkerboard(first_SS: np.ndarray, second_SS: np.ndarray) -> np.ndarray:
    """Squares of two pictures of one size in turn."""
    rows, columns = (np.arange(n) * SQUARES // n for n in first_SS.shape)
    return np.where((rows[:, None] + columns) % 2 == 0, first_SS, second_SS)


def _seen(raster: SceneRaster, found: Alignment, window: Window, correction_33: np.ndarray | None) -> np.ndarray:
    grid = found.grid
    transform = grid.transform if correction_33 is None else sampled_at(grid, correction_33)
    with raster.seen(View(grid.shape, transform, grid.crs)) as reader:
        return grey(reader, window, raster.bands)[0]
