"""Sentinel-2 Level-2A of a scene on four dates: reflectance with terrain light, clouds, shadows and sensor noise.

Shape legend: T = 4 dates, C = 12 bands, H, W = rows and columns (10 m).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.remote_sensing.scenes.classes import BARE, BUILT, CROPS, GRASS, SHRUB, SNOW, TREES, WATER, WETLAND
from domains.remote_sensing.scenes.cover import PIXEL, Cover
from domains.remote_sensing.scenes.fields import Field, at_share, blurred, fractal
from domains.remote_sensing.scenes.places import Place
from domains.remote_sensing.scenes.seasons import RAPESEED, RICE, Seasons
from domains.remote_sensing.scenes.spectra import HAZE, MATERIAL, SPECTRA, TILT

POINT_SPREAD = 0.12  # share of a pixel's light that ends in each neighbour along a row or column
NOISE = (0.001, 0.012)  # absolute, and relative to the signal (S2 requirement: SNR 50 to 170)
CLOUDY = 0.3  # chance that a date has clouds; SSL4EO-S12 and Dynamic World took scenes below about this cover
DEVIATION = {WATER: 0.10, TREES: 0.15, GRASS: 0.14, WETLAND: 0.20, CROPS: 0.14, SHRUB: 0.18, BUILT: 0.22, BARE: 0.20,
             SNOW: 0.06}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Optical:
    """reflectance_TCHW: float32. cloud_THW: uint8, 0 clear, 1 cloud, 2 shadow of a cloud."""

    reflectance_TCHW: Field  # noqa: N815
    cloud_THW: NDArray[np.uint8]  # noqa: N815


def render_optical(rng: np.random.Generator, place: Place, cover: Cover, seasons: Seasons) -> Optical:
    """What Sentinel-2 sees."""
    size = len(cover.classes_HW)
    green, other = _materials(rng, place, cover)
    plants_CHW, ground_CHW = (SPECTRA[m].transpose(2, 0, 1) for m in (green, other))
    share_THW = _green_share(cover, seasons)[:, None]
    out_TCHW = ground_CHW + share_THW * (plants_CHW - ground_CHW)
    fields = cover.classes_HW == CROPS
    if fields.any():  # bare soil or straw, by season; flowers of rapeseed in spring
        straw = SPECTRA[MATERIAL["straw"]][None, :, None] - ground_CHW[:, fields]
        part = ((1 - share_THW) * seasons.straw_THW[:, None])[:, :, fields]
        out_TCHW[:, :, fields] += part * straw
        bloom = np.array([name == "spring" for name in place.seasons])
        yellow = fields & (cover.crop_HW == RAPESEED)
        if bloom.any() and yellow.any():
            out_TCHW[np.ix_(bloom, np.arange(12))] = np.where(
                yellow, SPECTRA[MATERIAL["rapeseed"]][None, :, None, None], out_TCHW[bloom]
            )
    out_TCHW *= _variation(rng, cover)
    wet_T = 1 - 0.25 * seasons.moisture_T  # wet soil is darker
    soil_THW = np.where(np.isin(cover.classes_HW, (BARE, CROPS)), 1 - share_THW[:, 0], 0)
    out_TCHW *= (1 - soil_THW * (1 - wet_T)[:, None, None])[:, None]
    muddy = SPECTRA[MATERIAL["turbid water"]][None, :, None, None]
    out_TCHW = np.where(seasons.flood_THW[:, None], muddy, out_TCHW)
    snow_THW = seasons.snow_THW[:, None]
    if snow_THW.any():
        white = SPECTRA[MATERIAL["snow"]][None, :, None, None] * np.float32(rng.uniform(0.75, 1.05))
        out_TCHW += snow_THW * (white - out_TCHW)
    light_THW = np.where(seasons.classes_THW == WATER, 1, _light(place, cover.height_HW))  # water lies level
    out_TCHW *= light_THW[:, None].astype(np.float32)
    out_TCHW += HAZE[None, :, None, None] * rng.gamma(1.5, 0.7, 4).astype(np.float32)[:, None, None, None]
    out_TCHW *= rng.normal(1, 0.03, (4, 1, 1, 1)).astype(np.float32)
    cloud_THW = _clouds(rng, place, out_TCHW)
    out_TCHW = blurred(out_TCHW.astype(np.float32, copy=False), POINT_SPREAD)
    noise = rng.standard_normal(out_TCHW.shape, dtype=np.float32)
    out_TCHW += noise * (np.float32(NOISE[0]) + np.float32(NOISE[1]) * out_TCHW)
    assert out_TCHW.shape == (4, 12, size, size)
    return Optical(np.maximum(out_TCHW, 1e-4), cloud_THW)


def _materials(rng: np.random.Generator, place: Place, cover: Cover) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(H, W) material of what is green, and of what is not, by pixel."""
    m, classes = MATERIAL, cover.classes_HW
    soil = m["bright soil"] if rng.random() < place.climate.soil else m["dark soil"]
    green, other = np.zeros(9, np.uint8), np.zeros(9, np.uint8)
    for kind, plant, earth in (
        (WATER, "clear water", "clear water"), (TREES, "broadleaf", "bare branches"), (GRASS, "grass", "dry grass"),
        (WETLAND, "reed", "turbid water"), (CROPS, "crop", "dark soil"), (SHRUB, "scrub", "dry grass"),
        (BUILT, "grass", "asphalt"), (BARE, "dry grass", "rock"), (SNOW, "snow", "snow"),
    ):  # fmt: skip
        green[kind], other[kind] = m[plant], m[earth]
    other[CROPS] = soil
    plants, ground = green[classes], other[classes]
    plants[(classes == TREES) & cover.evergreen_HW] = m["conifer"] if abs(place.latitude) > 25 else m["broadleaf"]
    rice = (classes == CROPS) & (cover.crop_HW == RICE)
    ground[rice] = m["turbid water"]  # paddies
    no_rock = (classes == BARE) & (cover.vigour_NHW[1] > (0.6 if place.climate.snow_line < 5000 else -0.8))
    ground[no_rock] = soil
    if rng.random() < 0.4:
        clear = (classes == WATER) & (cover.river_HW < cover.river_width)
        plants[clear] = ground[clear] = m["turbid water"]
    roofs = np.array([m["tiles"], m["asphalt"], m["rock"], m["metal"], m["tiles"], m["bright soil"]], np.uint8)
    kinds = roofs[rng.integers(0, len(roofs), 1024)]
    block = (cover.garden_HW * 1e4).astype(np.int32) % 1024  # gardens are drawn by block, so they number it
    houses = cover.building_HW > 0
    ground[houses] = kinds[block[houses]]
    shrubs_dry = (classes == SHRUB) & (cover.vigour_NHW[2] > 0)
    ground[shrubs_dry] = soil
    return plants, ground


def _green_share(cover: Cover, seasons: Seasons) -> Field:
    """(T, H, W) how much of a pixel is green vegetation: in towns the gardens, on water nothing."""
    classes = cover.classes_HW
    cap = np.ones(classes.shape, np.float32)
    cap[classes == BUILT] = cover.garden_HW[classes == BUILT]
    cap[classes == SHRUB] = 0.7
    cap[classes == WETLAND] = np.clip(0.65 + 0.2 * cover.vigour_NHW[2], 0.2, 0.95)[classes == WETLAND]
    return (seasons.green_THW * cap).astype(np.float32)


def _variation(rng: np.random.Generator, cover: Cover) -> Field:
    """(C, H, W) factors: brightness by area, by parcel and by pixel; and leaf condition by area."""
    deviation = np.array([DEVIATION[c] for c in range(9)], np.float32)[cover.classes_HW]
    vigour, tone, _, growth = cover.vigour_NHW
    parcel = rng.standard_normal(4096, dtype=np.float32)[cover.parcel_HW % 4096]
    white = rng.standard_normal(vigour.shape, dtype=np.float32)
    single = np.where(cover.classes_HW == CROPS, 0.6 * parcel, 0.4 * growth)
    bright = deviation * (0.55 * tone + single + 0.6 * white)
    lean = 0.8 * vigour + 0.5 * rng.standard_normal(vigour.shape, dtype=np.float32)
    return np.exp(bright[None] + TILT[:, None, None] * lean[None])


def _light(place: Place, height_HW: Field) -> Field:
    """(T, H, W) cosine of the sun's angle to the ground over that to level ground (half corrected, as in Level-2A)."""
    south, east = np.gradient(height_HW, PIXEL)
    norm = np.sqrt(1 + south**2 + east**2)
    out = np.empty((4, *height_HW.shape), np.float32)
    for t, (elevation, azimuth) in enumerate(place.sun):
        high, bearing = np.radians(max(elevation, 8.0)), np.radians(azimuth)
        # towards the sun: east sin(azimuth), north cos(azimuth); rows run to the south
        facing = (np.sin(high) - np.cos(high) * (east * np.sin(bearing) - south * np.cos(bearing))) / norm
        out[t] = np.clip(facing / np.sin(high), 0.25, 1.9) ** 0.5
    return out


def _clouds(rng: np.random.Generator, place: Place, out_TCHW: Field) -> NDArray[np.uint8]:
    """Put clouds and their shadows into `out_TCHW`; (T, H, W) where they are."""
    size = out_TCHW.shape[-1]
    cloud_THW = np.zeros((4, size, size), np.uint8)
    for t, (elevation, azimuth) in enumerate(place.sun):
        if rng.random() > CLOUDY:
            continue
        share = float(rng.beta(1.2, 6)) * 0.7
        field = fractal(rng, 1, size, beta=3.0, longest=64)[0]
        edge = at_share(field, share)
        thick_HW = np.clip((field - edge) / np.float32(rng.uniform(0.3, 1.2)), 0, 1)
        reach = rng.uniform(600, 2500) / np.tan(np.radians(max(elevation, 15.0))) / PIXEL
        away = np.radians(azimuth + 180)
        # the field is periodic, so what comes in from beyond the tile is the shadow of a cloud beyond the tile
        place_of = round(-reach * np.cos(away)), round(reach * np.sin(away))
        dark_HW = np.roll(thick_HW, place_of, axis=(0, 1)) * (1 - thick_HW)
        white = SPECTRA[MATERIAL["cloud"]][:, None, None] * np.float32(rng.uniform(0.75, 1.3))
        out_TCHW[t] *= 1 - 0.6 * dark_HW
        out_TCHW[t] += thick_HW * (white - out_TCHW[t])
        cloud_THW[t] = np.where(thick_HW > 0.25, 1, np.where(dark_HW > 0.4, 2, 0))
    return cloud_THW
