"""Land cover of one place: terrain, vegetation, rivers, lakes, fields, towns, roads. The same in all seasons.

Shape legend: H, W = rows and columns (10 m).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.remote_sensing.scenes.classes import BARE, BUILT, CROPS, GRASS, SHRUB, SNOW, TREES, WATER, WETLAND
from domains.remote_sensing.scenes.fields import Field, at_share, fractal, turned
from domains.remote_sensing.scenes.places import Place

PIXEL = 10.0  # metres
CROP_KINDS = ("winter cereal", "maize", "rapeseed", "vegetables", "rice")


@dataclass(frozen=True, slots=True)
class Cover:
    """What lies where, before the seasons.

    classes_HW: uint8 Dynamic World classes. height_HW: metres of the ground. parcel_HW: number of the parcel of each
    pixel (of fields everywhere, so also where there is none). crop_HW: index into CROP_KINDS by parcel. building_HW:
    height of buildings in metres, 0 elsewhere. garden_HW: share of vegetation within built-up land. evergreen_HW: bool.
    river_HW: distance to the middle of the river in pixels (inf without). street_angle: of the town's grid, radians.
    river, lake, coast, town_share: what was drawn. vigour_NHW: smooth random fields for everything that varies.
    """

    classes_HW: NDArray[np.uint8]  # noqa: N815
    height_HW: Field  # noqa: N815
    parcel_HW: NDArray[np.int32]  # noqa: N815
    crop_HW: NDArray[np.uint8]  # noqa: N815
    building_HW: Field  # noqa: N815
    garden_HW: Field  # noqa: N815
    evergreen_HW: NDArray[np.bool_]  # noqa: N815
    river_HW: Field  # noqa: N815
    vigour_NHW: Field  # noqa: N815
    street_angle: float
    river_width: float
    has_lake: bool
    has_coast: bool


def sample_cover(rng: np.random.Generator, place: Place, size: int) -> Cover:
    """Draw the land cover of a place on `size` x `size` pixels."""
    climate = place.climate
    ground, growth, farms, towns, wet = fractal(rng, 5, size, beta=3.6, longest=80)
    patches, vigour, tone = fractal(rng, 3, size, beta=2.6, longest=48)
    has_river = bool(rng.random() < (0.25 if climate.name == "desert margin" else 0.55))
    river_HW, width = _river(rng, size) if has_river else (np.full((size, size), np.inf, np.float32), 0.0)
    valley = np.exp(-np.maximum(river_HW - width, 0) / np.float32(12))
    relief = climate.relief * float(rng.uniform(0.5, 1.5))
    rise = (ground + 0.03 * patches) * (1 - valley) - 1.2 * valley
    height_HW = relief / 4 * rise + relief / 2 + (1500 if climate.snow_line < 5000 else 60)
    slope_HW = np.hypot(*np.gradient(height_HW, PIXEL)).astype(np.float32)

    classes_HW = _natural(rng, climate.cover, growth + 0.22 * patches)
    classes_HW[(slope_HW > 0.7) & (growth < 0.3)] = BARE
    if climate.snow_line < 5000:
        classes_HW[height_HW > climate.snow_line + rng.normal(0, 150) + 25 * patches] = SNOW

    parcel_HW, hedge_HW = _parcels(rng, size, turned(size, rng.uniform(0, np.pi)))
    crop_of = _crops(rng, climate.name)
    table = rng.integers(0, len(crop_of), 4096)
    crop_HW = np.asarray(crop_of, np.uint8)[table][parcel_HW % 4096]
    suited = _mean_by_parcel(farms - 4 * slope_HW, parcel_HW)
    fields = (suited > at_share(suited, min(0.95, climate.farmland * _spread(rng)))) & (slope_HW < 0.4)
    kind = rng.random(4096)[parcel_HW % 4096]
    classes_HW[fields] = np.where(kind < 0.80, CROPS, np.where(kind < 0.95, GRASS, BARE)).astype(np.uint8)[fields]
    hedges = fields & hedge_HW & (rng.random(4096)[(parcel_HW * 7) % 4096] < 0.4)
    classes_HW[hedges] = np.where(patches > 0, TREES, SHRUB).astype(np.uint8)[hedges]

    low = wet - 0.7 * (height_HW - height_HW.mean()) / (height_HW.std() + 1)
    marsh_share = climate.wetland * _spread(rng)
    marsh = low + 2 * valley + 0.25 * patches
    classes_HW[(marsh > at_share(marsh, marsh_share)) & (slope_HW < 0.25) & (classes_HW != SNOW)] = WETLAND

    street_angle = float(rng.uniform(0, np.pi))
    building_HW, garden_HW, town, roads = _town(rng, size, street_angle, towns, climate.town * _spread(rng))
    free = (slope_HW < 0.35) & (classes_HW != SNOW)
    classes_HW[town & free] = BUILT
    parks = town & free & (building_HW < 0)
    classes_HW[parks] = np.where(patches > 0.2, TREES, GRASS).astype(np.uint8)[parks]
    building_HW = np.where(town & free & ~parks, np.maximum(building_HW, 0), 0).astype(np.float32)

    lake_share = climate.lake * _spread(rng) if rng.random() < 0.5 else 0.0
    lake = (low > at_share(low, lake_share)) & (slope_HW < 0.3)
    has_coast = bool(rng.random() < 0.08)
    if has_coast:
        u, _ = turned(size, rng.uniform(0, 2 * np.pi))
        lake |= u + 6 * wet > size * rng.uniform(0.05, 0.35)
    banks = (river_HW < width * 1.6 + 0.8 * patches) & (river_HW >= width) & (climate.soil > 0.5)
    classes_HW[banks & ~town] = BARE
    classes_HW[(lake & (classes_HW != SNOW)) | (river_HW < width)] = WATER
    classes_HW[roads & free & ((classes_HW != WATER) | (river_HW < width))] = BUILT  # bridges too, no causeways
    building_HW[classes_HW != BUILT] = 0

    evergreen_HW = tone + 0.6 * vigour > at_share(tone + 0.6 * vigour, climate.evergreen)
    return Cover(
        classes_HW, height_HW.astype(np.float32), parcel_HW, crop_HW, building_HW, garden_HW, evergreen_HW, river_HW,
        np.stack([vigour, tone, patches, growth]), street_angle, width,
        bool((lake & (river_HW > 2 * width)).mean() > 0.015) and not has_coast, has_coast,
    )  # fmt: skip


def _spread(rng: np.random.Generator) -> float:
    """A factor around 1: scenes of one climate differ."""
    return float(rng.gamma(2.0, 0.5) + 0.1)


def _natural(rng: np.random.Generator, shares: tuple[float, float, float, float], growth: Field) -> NDArray[np.uint8]:
    """Trees where growth is strongest, then shrub, grass, bare: neighbours in nature are neighbours in the field."""
    drawn = rng.dirichlet(np.asarray(shares) * 6 + 0.05)
    edges = [at_share(growth, float(share)) for share in np.cumsum(drawn)[:3]]
    below = sum((growth <= edge).astype(np.uint8) for edge in edges)
    return np.asarray([TREES, SHRUB, GRASS, BARE], np.uint8)[below]


def _parcels(
    rng: np.random.Generator, size: int, axes: tuple[Field, Field]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Numbers of rectangular parcels in strips of random width, and where two of them meet."""
    u, v = axes
    widths = rng.uniform(7, 20, size)
    edges = np.cumsum(widths) - widths.sum() * 0.25
    strip = np.searchsorted(edges, u).astype(np.int32)
    length, offset = rng.uniform(10, 40, size + 1), rng.uniform(0, 40, size + 1)
    along = (v + offset[strip].astype(np.float32)) / length[strip].astype(np.float32)
    parcel = strip * 64 + (np.floor(along).astype(np.int32) + 32)
    meets = np.zeros(parcel.shape, bool)
    meets[:, 1:] |= parcel[:, 1:] != parcel[:, :-1]
    meets[1:] |= parcel[1:] != parcel[:-1]
    return parcel, meets


def _mean_by_parcel(field: Field, parcel_HW: NDArray[np.int32]) -> Field:
    """Each pixel gets the mean over its parcel, so that a parcel is one thing."""
    number = parcel_HW - parcel_HW.min()
    sums = np.bincount(number.ravel(), weights=field.ravel())
    counts = np.maximum(np.bincount(number.ravel()), 1)
    return (sums / counts)[number].astype(np.float32)


def _crops(rng: np.random.Generator, climate: str) -> list[int]:
    """The crops of this scene, as often as they are drawn: rice in deltas, cereal, maize and rapeseed elsewhere."""
    if climate == "monsoon delta":
        return [4, 4, 4, 3, 1]
    mixes = ([0, 0, 1, 2], [0, 1, 1, 3], [0, 0, 2, 3], [1, 1, 3, 0])
    return list(mixes[int(rng.integers(len(mixes)))])


def _river(rng: np.random.Generator, size: int) -> tuple[Field, float]:
    """Distance to a meandering middle line, and half its width, in pixels."""
    u, v = turned(size, rng.uniform(0, np.pi), rng)
    line, slope = np.zeros_like(u), np.zeros_like(u)
    for _ in range(3):
        wave = rng.uniform(24, 115)
        rise, phase = wave * rng.uniform(0.03, 0.14), rng.uniform(0, 2 * np.pi)
        turn = np.float32(2 * np.pi / wave) * u + np.float32(phase)
        line += np.float32(rise) * np.sin(turn)
        slope += np.float32(rise * 2 * np.pi / wave) * np.cos(turn)
    return np.abs(v - line) / np.sqrt(1 + slope * slope), float(rng.choice([1.2, 2.0, 3.0, 4.5, 7.0]))


def _town(
    rng: np.random.Generator, size: int, angle: float, where: Field, share: float
) -> tuple[Field, Field, NDArray[np.bool_], NDArray[np.bool_]]:
    """(height of buildings, negative in parks; share of gardens; town; roads between towns)."""
    u, v = turned(size, angle)
    distance = np.hypot(*turned(size, 0.0, rng))
    place = where - distance / 34
    town = place > at_share(place, min(share, 0.6)) if share > 0.01 else np.zeros(where.shape, bool)
    period_u, period_v = rng.uniform(5, 9), rng.uniform(6, 12)
    block_u, block_v = np.floor(u / period_u).astype(np.int32), np.floor(v / period_v).astype(np.int32)
    block = (block_u * 73 + block_v * 179) % 1024
    street = ((u / period_u - block_u) * period_u < 1) | ((v / period_v - block_v) * period_v < 1)
    tallest = rng.choice([8.0, 12.0, 25.0])
    stories = rng.gamma(2.0, tallest / 4, 1024).astype(np.float32)[block] + 3
    park = rng.random(1024)[block] < 0.12
    height = np.where(street, 0, np.where(park, -1, stories)).astype(np.float32)
    gardens = (rng.random(1024) * 0.45).astype(np.float32)[block]
    roads = np.zeros(where.shape, bool)
    for _ in range(int(rng.integers(0, 3))):
        across, along = turned(size, rng.uniform(0, np.pi), rng)
        bend = np.float32(rng.uniform(2, 8))
        roads |= np.abs(across + bend * np.sin(along / np.float32(rng.uniform(14, 38)))) < rng.choice([0.6, 1.1])
    return height, np.where(street, 0.05, gardens).astype(np.float32), town, roads
