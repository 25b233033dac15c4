"""Where simulated scenes lie: regions with their climate, a UTM grid, four dates of acquisition."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass

import numpy as np

SNAP = 60.0  # metres: corners lie on the grid of the 60 m bands, and so on that of 10 m and 20 m
SEASONS = ("winter", "spring", "summer", "autumn")


@dataclass(frozen=True, slots=True)
class Climate:
    """What grows and when. Shares are means of what a scene of this climate is made of.

    cover: shares of trees, shrub, grass and bare where nobody farms or builds. farmland, town, lake, wetland: typical
    shares. relief: metres between valley and hill within a kilometre. evergreen: share of evergreen trees. green: how
    green vegetation is in winter, spring, summer, autumn, 0 to 1. snow: chance that winter is white. snow_line: metres
    above which it is white all year. soil: 0 dark to 1 bright. flood: chance that the river is out on one date.
    """

    name: str
    longitude: tuple[float, float]
    latitude: tuple[float, float]
    cover: tuple[float, float, float, float]
    farmland: float
    town: float
    lake: float
    wetland: float
    relief: float
    evergreen: float
    green: tuple[float, float, float, float]
    snow: float
    snow_line: float
    soil: float
    flood: float


CLIMATES: tuple[Climate, ...] = (
    Climate("temperate lowland", (1, 23), (46, 54), (0.45, 0.12, 0.38, 0.05), 0.65, 0.17, 0.03, 0.06, 35, 0.35,
            (0.35, 0.80, 0.95, 0.60), 0.25, 1e4, 0.30, 0.15),
    Climate("alpine", (6, 14), (46, 47.5), (0.45, 0.15, 0.25, 0.15), 0.13, 0.09, 0.04, 0.02, 420, 0.75,
            (0.25, 0.65, 0.95, 0.60), 0.90, 1820, 0.40, 0.03),
    Climate("mediterranean", (-7, 26), (36, 42), (0.22, 0.42, 0.20, 0.16), 0.45, 0.17, 0.02, 0.04, 120, 0.80,
            (0.60, 0.85, 0.35, 0.40), 0.02, 1e4, 0.60, 0.10),
    Climate("boreal", (14, 30), (60, 66), (0.68, 0.08, 0.19, 0.05), 0.13, 0.07, 0.12, 0.24, 50, 0.80,
            (0.25, 0.45, 0.95, 0.55), 0.95, 1e4, 0.30, 0.08),
    Climate("savanna", (-16, 35), (8, 14), (0.18, 0.34, 0.36, 0.12), 0.39, 0.10, 0.01, 0.08, 40, 0.50,
            (0.35, 0.25, 0.75, 0.90), 0.0, 1e4, 0.70, 0.15),
    Climate("monsoon delta", (88, 106), (10, 24), (0.42, 0.14, 0.34, 0.10), 0.65, 0.17, 0.06, 0.28, 20, 0.85,
            (0.60, 0.50, 0.85, 0.95), 0.0, 1e4, 0.35, 0.45),
    Climate("steppe", (60, 78), (45, 51), (0.06, 0.30, 0.44, 0.20), 0.36, 0.09, 0.03, 0.06, 60, 0.40,
            (0.20, 0.75, 0.50, 0.30), 0.60, 1e4, 0.60, 0.05),
    Climate("desert margin", (-115, -104), (31, 36), (0.04, 0.34, 0.10, 0.52), 0.16, 0.14, 0.01, 0.02, 140, 0.70,
            (0.35, 0.55, 0.45, 0.45), 0.05, 1e4, 0.85, 0.04),
    Climate("pampas", (-65, -58), (-38, -31), (0.10, 0.18, 0.66, 0.06), 0.65, 0.12, 0.05, 0.12, 25, 0.50,
            (0.55, 0.85, 0.75, 0.65), 0.0, 1e4, 0.35, 0.12),
    Climate("southern temperate", (142, 150), (-38, -34), (0.42, 0.20, 0.32, 0.06), 0.39, 0.14, 0.03, 0.06, 110, 0.90,
            (0.75, 0.90, 0.50, 0.55), 0.03, 1e4, 0.50, 0.06),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """One location: its climate, its grid, and when the satellites passed.

    epsg: of the UTM zone. origin: easting and northing of the upper left corner, metres. days: day of year of the four
    Sentinel-2 acquisitions, in the order of the calendar seasons December, March, June, September; seasons: their
    names in this hemisphere. radar_days: of the Sentinel-1 acquisitions. ascending: direction of the Sentinel-1 orbit.
    """

    climate: Climate
    longitude: float
    latitude: float
    epsg: int
    origin: tuple[float, float]
    days: tuple[int, int, int, int]
    radar_days: tuple[int, int, int, int]
    seasons: tuple[str, str, str, str]
    ascending: bool
    incidence: float

    @property
    def sun(self) -> tuple[tuple[float, float], ...]:
        """(elevation, azimuth) in degrees at 10:30 local solar time on the four days."""
        return tuple(_sun(self.latitude, day) for day in self.days)


def sample_place(rng: np.random.Generator, climate: Climate | None = None) -> Place:
    """A random place of a climate, or of a random one."""
    chosen = climate or CLIMATES[int(rng.integers(len(CLIMATES)))]
    longitude = round(float(rng.uniform(*chosen.longitude)), 4)
    latitude = round(float(rng.uniform(*chosen.latitude)), 4)
    epsg, easting, northing = utm(longitude, latitude)
    origin = (round(easting / SNAP) * SNAP, round(northing / SNAP) * SNAP)
    days = [int(d + rng.integers(-25, 26)) for d in (15, 110, 200, 290)]
    radar = [int(np.clip(d + rng.integers(-6, 7), 1, 365)) for d in days]
    days = [int(np.clip(d, 1, 365)) for d in days]
    names = SEASONS if latitude >= 0 else (*SEASONS[2:], *SEASONS[:2])
    return Place(
        chosen, longitude, latitude, epsg, origin, _four(days), _four(radar),
        (names[0], names[1], names[2], names[3]), bool(rng.random() < 0.5), float(rng.uniform(31, 45)),
    )  # fmt: skip


def utm(longitude: float, latitude: float) -> tuple[int, float, float]:
    """(EPSG code, easting, northing) of a place in its own zone of WGS 84 / UTM."""
    from rasterio.warp import transform

    zone = int((longitude + 180) // 6) + 1
    epsg = (32600 if latitude >= 0 else 32700) + zone
    xs, ys = transform("EPSG:4326", f"EPSG:{epsg}", [longitude], [latitude])
    return epsg, float(xs[0]), float(ys[0])


def date(day: int, year: int = 2020) -> datetime.date:
    return datetime.date(year, 1, 1) + datetime.timedelta(days=day - 1)


def _sun(latitude: float, day: int) -> tuple[float, float]:
    """Elevation and azimuth at 10:30 local solar time (declination after Cooper 1969)."""
    declination = math.radians(23.45) * math.sin(2 * math.pi * (284 + day) / 365)
    hour, phi = math.radians(-22.5), math.radians(latitude)
    height = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour)
    elevation = math.asin(height)
    east = -math.cos(declination) * math.sin(hour)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(hour)
    return math.degrees(elevation), math.degrees(math.atan2(east, north)) % 360


def _four(values: list[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = values
    return first, second, third, fourth
