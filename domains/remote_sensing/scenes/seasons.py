"""What the four dates change: snow, high water, how green plants are, which fields are bare.

Shape legend: T = 4 seasons, H, W = rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.remote_sensing.scenes.classes import BARE, BUILT, CROPS, GRASS, SHRUB, SNOW, TREES, WATER, WETLAND
from domains.remote_sensing.scenes.cover import Cover
from domains.remote_sensing.scenes.fields import Field, fractal
from domains.remote_sensing.scenes.places import SEASONS, Place

# winter cereal, maize, rapeseed, vegetables, rice: green share of the field in winter, spring, summer, autumn, and how
# much of what is not green is straw (1) rather than bare soil (0)
CROP_GREEN = np.array([
    [0.40, 0.95, 0.15, 0.20], [0.05, 0.15, 0.95, 0.40], [0.45, 0.85, 0.15, 0.30], [0.15, 0.45, 0.75, 0.35],
    [0.10, 0.25, 0.80, 0.90],
], np.float32)  # fmt: skip
CROP_STRAW = np.array([
    [0.0, 0.3, 0.9, 0.3], [0.2, 0.0, 0.2, 0.7], [0.0, 0.3, 0.8, 0.2], [0.0, 0.1, 0.2, 0.1], [0.5, 0.0, 0.1, 0.6],
], np.float32)  # fmt: skip
RAPESEED, RICE = 2, 4
BURIED = (GRASS, CROPS, BARE, SHRUB, WETLAND)  # under snow these show only snow


@dataclass(frozen=True, slots=True)
class Seasons:
    """classes_THW: uint8, the true class on each date (snow and flood included). green_THW: share of green vegetation,
    0 to 1. straw_THW: share of straw in what is not green. snow_THW: share of the pixel under snow. flood_THW: bool,
    land under water on this date. moisture_T: of the soil, 0 dry to 1 wet. snowy, flooded: seasons in which it is so.
    """

    classes_THW: NDArray[np.uint8]  # noqa: N815
    green_THW: Field  # noqa: N815
    straw_THW: Field  # noqa: N815
    snow_THW: Field  # noqa: N815
    flood_THW: NDArray[np.bool_]  # noqa: N815
    moisture_T: Field  # noqa: N815
    snowy: tuple[bool, ...]
    flooded: tuple[bool, ...]


def sample_seasons(rng: np.random.Generator, place: Place, cover: Cover) -> Seasons:
    """The state of a place on its four dates."""
    climate, classes_HW = place.climate, cover.classes_HW
    order = [SEASONS.index(name) for name in place.seasons]
    vigour, _, patches, _ = cover.vigour_NHW
    size = len(classes_HW)

    general_T = np.asarray(climate.green, np.float32)[order] + rng.normal(0, 0.06, 4).astype(np.float32)
    crop_THW = CROP_GREEN[:, order][cover.crop_HW].transpose(2, 0, 1)
    parcel_T = rng.normal(0, 0.10, (4096, 4)).astype(np.float32)
    parcel_THW = parcel_T[cover.parcel_HW % 4096].transpose(2, 0, 1)
    lush = np.zeros(9, np.float32)
    lush[[TREES, GRASS, WETLAND, SHRUB, BARE, SNOW]] = [0.15, 0.0, 0.05, -0.20, -0.85, -1]
    green_THW = np.clip(general_T[:, None, None] + lush[classes_HW] + 0.10 * vigour, 0, 1)
    trees, evergreen = classes_HW == TREES, cover.evergreen_HW & (classes_HW != GRASS)
    leaf = np.where(evergreen, np.maximum(green_THW, 0.85), green_THW)
    green_THW = np.where(
        trees | (classes_HW == SHRUB), np.where(evergreen, 0.6 * leaf + 0.4 * green_THW, leaf), green_THW
    )
    fields = classes_HW == CROPS
    green_THW[:, fields] = (crop_THW + parcel_THW + 0.05 * patches)[:, fields]
    straw_THW = np.where(fields, CROP_STRAW[:, order][cover.crop_HW].transpose(2, 0, 1), 0.9).astype(np.float32)
    green_THW[:, classes_HW == BARE] = np.clip(0.08 + 0.05 * patches, 0, 0.2)[classes_HW == BARE]
    green_THW = np.clip(green_THW, 0.02, 1).astype(np.float32)

    classes_THW = np.repeat(classes_HW[None], 4, axis=0)
    flood_THW = np.zeros(classes_THW.shape, bool)
    flooded = [False] * 4
    if cover.river_width > 0 and rng.random() < climate.flood * 1.6:
        when = int(rng.choice([t for t in range(4) if place.seasons[t] != "summer"] or [0]))
        reach = cover.river_width + rng.uniform(5, 15)
        low = cover.height_HW < np.median(cover.height_HW) + 0.3 * cover.height_HW.std()
        wet = (cover.river_HW < reach * (1 + 0.4 * patches)) & low & np.isin(classes_HW, (GRASS, CROPS, BARE, WETLAND))
        flooded[when] = bool(wet.mean() > 0.01)
        flood_THW[when] = wet & flooded[when]
        classes_THW[when][flood_THW[when]] = WATER

    snow_THW = np.zeros(classes_THW.shape, np.float32)
    snowy = [False] * 4
    chance = {"winter": climate.snow, "spring": 0.35 * climate.snow * (climate.snow > 0.8)}
    cold = fractal(rng, 1, size, beta=3.0)[0] + (cover.height_HW - cover.height_HW.mean()) / (cover.height_HW.std() + 1)
    for t, season in enumerate(place.seasons):
        if rng.random() < chance.get(season, 0.0):
            line = rng.uniform(-3.0, 0.3) if season == "winter" else rng.uniform(0.2, 1.2)
            depth = np.clip((cold - line) * 1.5, 0, 1) * rng.uniform(0.75, 1.0)
            snow_THW[t] = depth
            snowy[t] = True
    snow_THW *= np.where(classes_HW == TREES, 0.35, np.where(classes_HW == BUILT, 0.55, 1)).astype(np.float32)
    snow_THW[:, classes_HW == SNOW] = np.maximum(snow_THW[:, classes_HW == SNOW], 0.92)
    snow_THW[classes_THW == WATER] = 0
    buried = (snow_THW > 0.5) & np.isin(classes_HW, BURIED) & ~flood_THW
    classes_THW[buried] = SNOW
    snowy = [bool(snowy[t] and buried[t].mean() > 0.05) for t in range(4)]
    wetness = {"winter": 0.7, "spring": 0.5, "summer": 0.25, "autumn": 0.5}
    moisture = [float(np.clip(wetness[s] + rng.normal(0, 0.2), 0, 1)) for s in place.seasons]
    return Seasons(
        classes_THW,
        green_THW,
        straw_THW,
        snow_THW,
        flood_THW,
        np.array(moisture, np.float32),
        tuple(snowy),
        tuple(flooded),
    )
