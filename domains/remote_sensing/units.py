"""Stored numbers to physical values, radar units into each other, and values that contradict their unit.

Shape legend: C = bands, H, W = rows and columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from core.errors import ConfigError, DataError
from domains.remote_sensing.bands import RADAR_UNITS, BandSpec, Unit, mismatch

Missing = Literal["error", "nan"]
SMALLEST_POWER = 1e-10  # -100 dB: below it is border noise, not an echo
COUNTS_AT_LEAST = 10.0  # a median reflectance above it can only be counts
NEGATIVE_AT_MOST = -0.02  # a median reflectance below it: the offset of -0.1 was taken off twice
LOOKED_AT = 100_000  # values are enough to see a wrong unit


def values_of(stored_CHW: np.ndarray, spec: BandSpec) -> np.ndarray:
    """(C, H, W) float32 in the unit of `spec`; nan where nothing was recorded.

    What is missing is decided on the stored numbers, before scale and offset.
    """
    stored_CHW = np.asarray(stored_CHW)
    missing_CHW = np.zeros(stored_CHW.shape, bool)
    if spec.nodata is not None and not np.isnan(spec.nodata):
        missing_CHW |= stored_CHW == spec.nodata
    values_CHW = stored_CHW.astype(np.float32)
    missing_CHW |= ~np.isfinite(values_CHW)
    if spec.scale != 1 or spec.offset != 0:
        values_CHW = values_CHW * np.float32(spec.scale) + np.float32(spec.offset)
    values_CHW[missing_CHW] = np.nan
    return values_CHW


def convert(
    values_CHW: np.ndarray, have: BandSpec, want: BandSpec, *, missing: Missing = "error", where: str = ""
) -> np.ndarray:
    """Values described by `have` as the bands of `want`: chosen and ordered by name, in its unit; float32.

    Both describe values (scale 1, offset 0). missing: what becomes of a wanted band that is not there: "error", or a
    band of nan, which the processors turn into their fill value. where: the file, for messages.
    Raises DataError with both orders for other bands, and for units that do not convert.
    """
    if len(values_CHW) != len(have):
        raise DataError(
            f"{where + ': ' if where else ''}{len(values_CHW)} bands, but {have.describe()} was stated with "
            f"{len(have)}: {', '.join(have.names)}"
        )
    positions = have.positions(want, where=where)
    if missing == "error" and None in positions:
        raise mismatch(have, want, "bands are missing (missing='nan' lets them be)", where)
    if positions == list(range(len(have))):
        out_CHW = np.asarray(values_CHW, np.float32)
    else:
        out_CHW = np.full((len(want), *values_CHW.shape[1:]), np.nan, np.float32)
        for row, position in enumerate(positions):
            if position is not None:
                out_CHW[row] = values_CHW[position]
    if have.unit == want.unit:
        return out_CHW
    if have.unit in RADAR_UNITS and want.unit in RADAR_UNITS:
        return from_power(to_power(out_CHW, have.unit), want.unit)
    raise mismatch(have, want, f"{have.unit} does not convert to {want.unit}", where)


def to_power(values: np.ndarray, unit: Unit) -> np.ndarray:
    """Backscatter as power: 10^(dB / 10), or amplitude squared (so that 20 log10 of an amplitude is its dB)."""
    if unit == "db":
        return np.power(np.float32(10), values * np.float32(0.1), dtype=np.float32)
    if unit == "amplitude":
        return np.square(values, dtype=np.float32)
    if unit == "power":
        return np.asarray(values, np.float32)
    raise ConfigError(f"'{unit}' is no unit of radar backscatter; these are {', '.join(RADAR_UNITS)}")


def from_power(power: np.ndarray, unit: Unit) -> np.ndarray:
    """The inverse of `to_power`; power of 0 and less is nan in every unit: nothing came back, or border noise."""
    power = np.where(power > SMALLEST_POWER, power, np.nan).astype(np.float32)
    if unit == "db":
        return 10 * np.log10(power)
    if unit == "amplitude":
        return np.sqrt(power)
    if unit == "power":
        return power
    raise ConfigError(f"'{unit}' is no unit of radar backscatter; these are {', '.join(RADAR_UNITS)}")


def check_values(values_CHW: np.ndarray, spec: BandSpec, *, where: str = "") -> None:
    """Raises DataError for values that cannot be in their unit: counts as reflectance, an offset applied twice,
    linear power as dB, dB as power. Only what no scene can look like is refused."""
    known = values_CHW[np.isfinite(values_CHW)]
    if known.size == 0:
        return
    known = known[:: 1 + known.size // LOOKED_AT]
    middle, fault = float(np.median(known)), ""
    if spec.unit == "reflectance" and middle > COUNTS_AT_LEAST:
        fault = f"their median is {middle:g}: these are counts; state a scale, for Sentinel-2 0.0001"
    elif spec.unit == "reflectance" and middle < NEGATIVE_AT_MOST:
        fault = f"their median is {middle:.3f}: the offset was taken off twice, or this product has none"
    elif spec.unit == "db" and known.size > 1 and float(known.min()) >= 0 and float(np.ptp(known)) > 0:
        fault = f"none is below 0, the median is {middle:g}: this is linear power; state unit 'power' or convert it"
    elif spec.unit in ("power", "amplitude") and middle < 0:
        fault = f"their median is {middle:g}, and {spec.unit} is never negative: this is dB; state unit 'db'"
    elif spec.unit == "db" and (middle > 25 or middle < -70):
        fault = f"their median is {middle:g} dB, which no scene has; check scale and offset"
    if fault:
        raise DataError(f"{where + ': ' if where else ''}values of {spec.describe()} in {spec.unit}: {fault}")


def cleaned(values_CHW: np.ndarray, spec: BandSpec) -> np.ndarray:
    """What a unit cannot hold, after `check_values` had a look: reflectance below 0, which the offset makes of dark
    pixels, becomes 0 (above 1 it stays: clouds and snow); power of 0 and less becomes nan."""
    if spec.unit == "reflectance":
        return np.maximum(values_CHW, 0)
    if spec.unit in ("power", "amplitude"):
        return np.where(values_CHW > 0, values_CHW, np.nan).astype(np.float32)
    return values_CHW


def in_unit(spec: BandSpec, unit: Unit) -> BandSpec:
    """The same bands in another unit."""
    return replace(spec, unit=unit)
