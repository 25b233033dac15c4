"""Sentinel-1 IW GRD of a scene on four dates: backscatter in dB with speckle, double bounce, layover-free shadow.

Shape legend: T = 4 dates, P = 2 polarisations (VV, VH), H, W = rows and columns (10 m).
Simplifications: range runs along the rows (the satellite looks due east when ascending, due west when descending);
layover is left out; looks are independent from pixel to pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domains.remote_sensing.scenes.classes import BARE, BUILT, CROPS, GRASS, SHRUB, SNOW, TREES, WATER, WETLAND
from domains.remote_sensing.scenes.cover import PIXEL, Cover
from domains.remote_sensing.scenes.fields import Field
from domains.remote_sensing.scenes.places import Place
from domains.remote_sensing.scenes.seasons import RICE, Seasons

LOOKS = 4.4  # equivalent number of looks of Sentinel-1 IW GRD high resolution (ESA product definition)
NOISE_FLOOR_DB = (-24.5, -27.0)  # noise-equivalent sigma0 of VV and VH
REFERENCE_ANGLE = 38.0  # degrees of incidence that the table is for
# Mean sigma0 in dB, (VV, VH): surfaces as they are when not green, and what full green does to them
BARE_DB = {WATER: (-20.5, -28.0), TREES: (-9.8, -15.6), GRASS: (-13.8, -21.6), WETLAND: (-7.6, -18.2),
           CROPS: (-12.0, -20.8), SHRUB: (-11.4, -17.8), BUILT: (-5.5, -12.5), BARE: (-14.6, -24.4),
           SNOW: (-16.5, -24.0)}  # fmt: skip
GREEN_DB = {WATER: (0.0, 0.0), TREES: (0.6, 1.0), GRASS: (-0.4, 1.0), WETLAND: (1.0, 1.6), CROPS: (0.6, 3.8),
            SHRUB: (0.4, 0.8), BUILT: (0.0, 0.3), BARE: (0.0, 0.6), SNOW: (0.0, 0.0)}  # fmt: skip
SPREAD_DB = {WATER: 0.6, TREES: 0.7, GRASS: 0.8, WETLAND: 1.3, CROPS: 1.0, SHRUB: 0.9, BUILT: 2.5, BARE: 1.2,
             SNOW: 1.0}  # fmt: skip
MOIST_DB = 2.0  # what wet soil adds to dry one, where no plants hide it
WET_SNOW_DB = -4.0  # melting snow absorbs
CORNER_DB = 9.0  # walls that face the radar: ground and wall together send the wave back


def render_radar(rng: np.random.Generator, place: Place, cover: Cover, seasons: Seasons) -> Field:
    """(T, 2, H, W) float32 sigma0 in dB, VV then VH."""
    classes, size = cover.classes_HW, len(cover.classes_HW)
    base, gain = (_table(t)[:, classes][None] for t in (BARE_DB, GREEN_DB))
    db_TPHW = base + gain * seasons.green_THW[:, None]
    rice = (classes == CROPS) & (cover.crop_HW == RICE)
    if rice.any():  # open water between young plants
        open_THW = np.clip(0.45 - seasons.green_THW, 0, 0.45) * rice
        db_TPHW -= 14 * open_THW[:, None]
    soil_THW = np.where(np.isin(classes, (GRASS, CROPS, BARE, SHRUB)), 1 - seasons.green_THW, 0)
    db_TPHW += (MOIST_DB * (seasons.moisture_T - 0.4))[:, None, None, None] * soil_THW[:, None]
    spread = np.array([SPREAD_DB[c] for c in range(9)], np.float32)[classes]
    vigour, tone, patches, growth = cover.vigour_NHW
    parcel = rng.standard_normal((2, 4096), dtype=np.float32)[:, cover.parcel_HW % 4096]
    area = np.stack([0.7 * patches + 0.3 * growth, 0.6 * patches + 0.4 * vigour])
    db_TPHW += spread * np.where(np.isin(classes, (CROPS, GRASS)), 0.7 * parcel, 0.7 * area)
    if place.climate.soil > 0.5:  # dry rough ground: rock and rubble are bright
        db_TPHW += np.where((classes == BARE) & (tone < -0.3), 2.5, 0.0)
    db_TPHW += _town_db(rng, cover)
    wind_T = rng.normal(0, 2.0, 4).astype(np.float32)
    lake_THW = (seasons.classes_THW == WATER)[:, None]
    calm = np.asarray([-20.5, -28.0], np.float32)[None, :, None, None]
    db_TPHW = np.where(
        lake_THW, calm + wind_T[:, None, None, None] * np.asarray([1, 0.4])[None, :, None, None], db_TPHW
    )
    melting_T = rng.uniform(0, 1, 4).astype(np.float32)
    db_TPHW += (WET_SNOW_DB * melting_T)[:, None, None, None] * seasons.snow_THW[:, None]

    power_TPHW = np.power(np.float32(10), db_TPHW.astype(np.float32) * np.float32(0.1))
    factor_HW, lit_HW = _geometry(place, cover.height_HW + cover.building_HW, cover.height_HW)
    factor_THW = np.where(seasons.classes_THW == WATER, 1, factor_HW * lit_HW)
    power_TPHW *= factor_THW[:, None].astype(np.float32)
    floor = np.power(10, np.asarray(NOISE_FLOOR_DB, np.float32) / 10)[None, :, None, None]
    speckle = rng.standard_gamma(LOOKS, (4, 2, size, size), dtype=np.float32) * np.float32(1 / LOOKS)
    return (10 * np.log10((power_TPHW + floor) * speckle + np.float32(1e-6))).astype(np.float32)


def _table(values: dict[int, tuple[float, float]]) -> Field:
    return np.array([values[c] for c in range(9)], np.float32).T


def _town_db(rng: np.random.Generator, cover: Cover) -> Field:
    """(2, H, W) what buildings add: more the higher they are, most where streets run along the orbit."""
    houses = cover.building_HW
    turn = abs(((np.degrees(cover.street_angle) + 10) % 90 + 45) % 90 - 45)  # from the nearest wall to the orbit
    facing = np.exp(-((turn / 14) ** 2))
    walls = np.diff(houses, axis=1, prepend=houses[:, :1])
    corner = np.clip(np.abs(walls) / 12, 0, 1)
    bright = 2.5 * np.clip(houses / 15, 0, 1.5) + CORNER_DB * corner * (0.35 + 0.65 * facing)
    streets = (cover.classes_HW == BUILT) & (houses <= 0)
    bright = np.where(streets, -3.5, bright).astype(np.float32)
    return np.stack([bright, 0.75 * bright])


def _geometry(place: Place, surface_HW: Field, ground_HW: Field) -> tuple[Field, NDArray[np.bool_]]:
    """(power factor of the slope towards the radar, whether the radar sees the pixel at all)."""
    sign = 1 if place.ascending else -1  # +1: the radar stands in the west and looks east
    angle = np.radians(place.incidence)
    slope = np.gradient(ground_HW, PIXEL, axis=1) * sign
    local = angle - np.arctan(slope)
    factor = np.clip(np.cos(local) / np.cos(np.radians(REFERENCE_ANGLE)), 0.05, 1.6) ** 1.5
    factor *= np.clip(np.sin(angle) / np.sin(np.clip(local, 0.15, None)), 0.4, 4)
    # a ray that grazes a summit falls by 1 / tan(incidence) per metre of ground range: what lies below it is in shadow
    range_m = np.arange(surface_HW.shape[1], dtype=np.float32) * np.float32(PIXEL)
    seen = surface_HW if sign > 0 else surface_HW[:, ::-1]
    above = seen + range_m / np.float32(np.tan(angle))
    highest = np.maximum.accumulate(above, axis=1)
    lit = above >= highest - 1.0
    return factor.astype(np.float32), lit if sign > 0 else lit[:, ::-1]
