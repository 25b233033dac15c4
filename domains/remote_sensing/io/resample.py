"""From one grid to another of the same orientation, as two matrix products; missing pixels have no weight.

Shape legend: C = bands, H, W = rows and columns of the source, R, S = rows and columns of the target.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from core.errors import DataError

# auto: bilinear where pixels become smaller, the mean over the footprint where they become larger
Resampling = Literal["auto", "nearest", "bilinear", "average"]
KNOWN_SHARE = 0.5  # a pixel is known when at least half of its weight falls on known pixels
PARALLEL = 1e-6  # relative: grids whose axes differ more than this are turned against each other


def resample(
    values_CHW: np.ndarray, between: Sequence[float], shape: tuple[int, int], how: Resampling = "auto"
) -> np.ndarray:
    """(C, R, S) float32 of values with nan where missing.

    between: transform from pixels of the target to pixels of the source. What lies beyond the source is nan.
    Raises DataError for grids that are turned against each other.
    """
    step_w, turn, first_w, turn_too, step_h, first_h = between
    if max(abs(turn), abs(turn_too)) > PARALLEL * max(abs(step_w), abs(step_h)):
        raise DataError("its grid is turned against the other's; warp them onto one grid first (gdalwarp)")
    rows, columns = values_CHW.shape[1:]
    weights_RH = axis_weights(first_h, step_h, shape[0], rows, how)
    weights_SW = axis_weights(first_w, step_w, shape[1], columns, how)
    known_CHW = np.isfinite(values_CHW)
    if known_CHW.all():
        out_CRS = weights_RH @ values_CHW @ weights_SW.T
        share_CRS = (weights_RH.sum(1)[:, None] * weights_SW.sum(1)[None])[None]
    else:
        out_CRS = weights_RH @ np.where(known_CHW, values_CHW, 0) @ weights_SW.T
        share_CRS = weights_RH @ known_CHW.astype(np.float32) @ weights_SW.T
    enough_CRS = np.broadcast_to(share_CRS >= KNOWN_SHARE - 1e-6, out_CRS.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(enough_CRS, out_CRS / share_CRS, np.nan).astype(np.float32)


@functools.lru_cache(maxsize=256)
def axis_weights(first: float, step: float, count: int, source_count: int, how: Resampling) -> np.ndarray:
    """(count, source_count) float32: what each source pixel gives to each target pixel along one axis.

    Target pixel j covers first + step * [j, j + 1] in source pixels. Rows sum to 1 inside the source, to 0 beyond it;
    footprints that reach over the edge sum to the share that is covered.
    """
    edges = first + step * np.arange(count + 1)
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    centres = (low + high) / 2
    inside = (centres >= 0) & (centres <= source_count)
    if how == "average" or (how == "auto" and abs(step) > 1 + PARALLEL):
        cells = np.arange(source_count)
        overlap = np.minimum(high[:, None], cells + 1) - np.maximum(low[:, None], cells)
        return (np.clip(overlap, 0, None) / abs(step)).astype(np.float32)
    weights = np.zeros((count, source_count))
    rows = np.arange(count)[inside]
    if how == "nearest":
        weights[rows, np.clip(np.floor(centres[inside] + 1e-9), 0, source_count - 1).astype(int)] = 1
        return weights.astype(np.float32)
    place = np.clip(centres[inside] - 0.5, 0, source_count - 1)  # the outermost half pixel repeats the edge
    left = np.minimum(np.floor(place + 1e-9).astype(int), source_count - 1)
    part = np.clip(place - left, 0, 1)
    np.add.at(weights, (rows, left), 1 - part)
    np.add.at(weights, (rows, np.minimum(left + 1, source_count - 1)), part)
    return weights.astype(np.float32)
