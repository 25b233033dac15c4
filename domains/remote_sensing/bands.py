"""BandSpec: what the channels of a raster mean. It travels with data, processors and weights; nothing is assumed.

Shape legend: C = bands, H, W = rows and columns.
A stored number becomes a physical value by `stored * scale + offset`, as GDAL's band tags define it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from core.errors import ConfigError, DataError, nearest

# reflectance: 1 = all light comes back (clouds and snow may exceed it). db, power, amplitude: radar backscatter as
# 10 log10(power), power, sqrt(power). intensity: a picture without a physical unit, in [0, 1].
Unit = Literal["reflectance", "db", "power", "amplitude", "metre", "kelvin", "intensity", "class"]
UNITS: tuple[Unit, ...] = get_args(Unit)
RADAR_UNITS = ("db", "power", "amplitude")
_SENTINEL2 = re.compile(r"B0?(\d{1,2})(A?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Band:
    """One channel. wavelength_um: centre, micrometres (radar: of its carrier), None where there is none.

    gsd: ground sampling distance of the sensor for this band, metres.
    """

    name: str
    wavelength_um: float | None = None
    gsd: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", canonical_name(self.name))


@dataclass(frozen=True, slots=True)
class BandSpec:
    """Bands of one sensor in their order, with the unit and how numbers are stored.

    sensor: for instance "sentinel2". product: processing level, for instance "L2A". nodata: the stored number that
    means nothing was recorded; a value that is not finite always means so.
    Raises ConfigError for a name used twice, no band at all, an unknown unit or a scale of 0.
    """

    sensor: str
    bands: tuple[Band, ...]
    unit: Unit
    product: str = ""
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        names = tuple(band.name for band in self.bands)
        object.__setattr__(self, "names", names)
        if not names:
            raise ConfigError(f"bands of {self.sensor}: none is named; give at least one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"bands of {self.sensor}: {', '.join(twice)} is named twice in {listed(names)}")
        if self.unit not in UNITS:
            raise ConfigError(f"bands of {self.sensor}: unit is '{self.unit}'{nearest(self.unit, UNITS)}")
        if self.scale == 0:
            raise ConfigError(f"bands of {self.sensor}: scale is 0; a value is stored * scale + offset")

    def __len__(self) -> int:
        return len(self.bands)

    @property
    def wavelengths_um(self) -> tuple[float | None, ...]:
        return tuple(band.wavelength_um for band in self.bands)

    @property
    def gsd(self) -> float | None:
        """The finest ground sampling distance among the bands, metres."""
        known = [band.gsd for band in self.bands if band.gsd is not None]
        return min(known) if known else None

    def select(self, names: Iterable[str]) -> BandSpec:
        """These bands in this order. Raises ConfigError for one that is not here, with the nearest name."""
        wanted = [canonical_name(name) for name in names]
        by_name = {band.name: band for band in self.bands}
        for name in wanted:
            if name not in by_name:
                raise ConfigError(
                    f"bands: {self.describe()} has no band '{name}'{nearest(name, by_name)} "
                    f"(it has {listed(self.names)})"
                )
        return replace(self, bands=tuple(by_name[name] for name in wanted))

    def as_values(self) -> BandSpec:
        """The same bands after `stored * scale + offset`: what a reader returns. Missing values are nan then."""
        return replace(self, scale=1.0, offset=0.0, nodata=None)

    def positions(self, wanted: BandSpec, *, where: str = "") -> list[int | None]:
        """Where each band of `wanted` stands here; None for one that is not here.

        Raises DataError, with both orders, for another sensor, or none of the wanted bands. where: put in front.
        """
        here = {name: i for i, name in enumerate(self.names)}
        found = [here.get(name) for name in wanted.names]
        if self.sensor != wanted.sensor or all(i is None for i in found):
            raise mismatch(self, wanted, "other bands are needed", where)
        return found

    def require_order(self, model: BandSpec, *, where: str = "") -> None:
        """Raises DataError with both orders unless these are the bands of `model`, in its order and unit."""
        if self.sensor != model.sensor:
            raise mismatch(self, model, "the sensors differ", where)
        if self.names != model.names:
            same = sorted(self.names) == sorted(model.names)
            raise mismatch(self, model, "the order differs" if same else "the bands differ", where)
        if self.unit != model.unit:
            raise mismatch(self, model, "the units differ", where)

    def describe(self) -> str:
        return f"{self.sensor} {self.product}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` makes an equal spec of it."""
        return {
            "sensor": self.sensor,
            "product": self.product,
            "unit": self.unit,
            "scale": self.scale,
            "offset": self.offset,
            "nodata": self.nodata,
            "bands": [{"name": b.name, "wavelength_um": b.wavelength_um, "gsd": b.gsd} for b in self.bands],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BandSpec:
        """The spec that `to_dict` described. Raises ConfigError naming a key that is missing or unknown."""
        known = {"sensor", "product", "unit", "scale", "offset", "nodata", "bands"}
        for key in content:
            if key not in known:
                raise ConfigError(f"band specification: unknown key '{key}'{nearest(str(key), known)}")
        try:
            bands = tuple(Band(**band) for band in content["bands"])
            return cls(**{**content, "bands": bands})
        except (KeyError, TypeError) as err:
            raise ConfigError(f"band specification: {err}; it needs sensor, unit and bands (name, ...)") from err


def canonical_name(name: str) -> str:
    """B02 for "b2", "B2" and "B02", B8A for "B8a" and "B08A"; polarisations are in capitals; others stay."""
    text = name.strip()
    match = _SENTINEL2.fullmatch(text)
    if match is not None:
        number = int(match[1])
        return f"B{number}A" if match[2] else f"B{number:02d}"
    return text.upper() if text.upper() in {"VV", "VH", "HH", "HV"} else text


def mismatch(data: BandSpec, model: BandSpec, what: str, where: str = "") -> DataError:
    """The error for bands that do not fit: it lists both orders and both units."""
    front = f"{where}: " if where else ""
    return DataError(
        f"{front}{what}:\n  the data has {_told(data)}\n  wanted are  {_told(model)}\n"
        "State the bands of the data in the order of its file (`bands`), choose others, or convert it"
    )


def _told(spec: BandSpec) -> str:
    return f"{spec.describe()}, {len(spec)} bands in {spec.unit}: {listed(spec.names)}"


def listed(names: Sequence[str]) -> str:
    return ", ".join(names)
