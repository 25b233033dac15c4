"""Where and when a raster was taken, as a search filters by it and shows it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from domains.remote_sensing.bands import BandSpec
from domains.remote_sensing.io.open import grid
from domains.remote_sensing.raster import apply

_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])(?!\d)")
Bounds = tuple[float, float, float, float]


def facts_of(path: Path, spec: BandSpec, *, size: tuple[int, int] | None) -> dict[str, Any]:
    """bounds: [west, south, east, north] in degrees (WGS 84), west > east across the antimeridian; None without a CRS.
    date: ISO, as the name of the file or the folder it lies in tells it; "" for none. rows, columns: its pixels.
    whole: False when a model that reads `size` pixels sees its middle alone."""
    transform, (rows, columns), crs = grid(path, spec)
    corners = [apply(transform, x, y) for x in (0, columns) for y in (0, rows)]
    whole = size is None or (rows <= size[0] and columns <= size[1])
    return {
        "bounds": lonlat_bounds(crs, corners), "date": date_in(path), "rows": rows, "columns": columns, "whole": whole
    }  # fmt: skip


def lonlat_bounds(crs: str, corners: list[tuple[float, float]]) -> list[float] | None:
    """[west, south, east, north] in degrees of what has these corners in `crs`."""
    if not crs:
        return None
    from rasterio.warp import transform_bounds

    xs, ys = zip(*corners, strict=True)
    bounds = transform_bounds(crs, "EPSG:4326", min(xs), min(ys), max(xs), max(ys))
    return [round(float(value), 6) for value in bounds] if all(map(math.isfinite, bounds)) else None


def date_in(path: Path) -> str:
    """The first date in the name of a file, or else of its folder: 20200417, 2020-04-17; "" for none."""
    for name in (path.name, path.parent.name):
        found = _DATE.search(re.sub(r"T\d{6}", "", name))
        if found:
            return "-".join(found.groups())
    return ""


@dataclass(frozen=True, slots=True)
class Filter:
    """What results have to be. bounds: they touch this box of degrees; first, last: ISO dates, inclusive. A raster
    whose place or date is unknown does not pass a filter that asks for it."""

    bounds: Bounds | None = None
    first: str = ""
    last: str = ""

    def __post_init__(self) -> None:
        for name, day in (("date_from", self.first), ("date_to", self.last)):
            if day and not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
                raise ConfigError(f"--{name}: '{day}' is no date; write it as 2020-04-17")
        if self.bounds is not None and (self.bounds[1] > self.bounds[3] or max(map(abs, self.bounds)) > 360):
            raise ConfigError(f"--bbox: {self.bounds} is not WEST SOUTH EAST NORTH in degrees")

    def passes(self, about: Mapping[str, Any]) -> bool:
        day, box = about.get("date", ""), about.get("bounds")
        if (self.first or self.last) and not (day and self.first <= day <= (self.last or "9999")):
            return False
        return self.bounds is None or (box is not None and touch(self.bounds, box))


def touch(one: Bounds, other: list[float]) -> bool:
    """Whether two boxes of degrees share a point; either may cross the antimeridian (west > east)."""
    if one[1] > other[3] or other[1] > one[3]:
        return False
    parts = [
        [(box[0], box[2])] if box[0] <= box[2] else [(box[0], 180.0), (-180.0, box[2])] for box in (one, other)
    ]  # fmt: skip
    return any(a[0] <= b[1] and b[0] <= a[1] for a in parts[0] for b in parts[1])
