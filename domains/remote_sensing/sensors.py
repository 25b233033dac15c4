"""Bands of known sensors and products, by name, as their makers state them.

Sentinel-2 wavelengths and distances: ESA Sentinel-2 User Handbook (S2A). Sentinel-1: C band, 5.405 GHz = 5.547 cm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.errors import ConfigError, nearest
from domains.remote_sensing.bands import Band, BandSpec

REFLECTANCE_PER_COUNT = 1e-4  # ESA Level-1C and Level-2A: 10,000 counts are reflectance 1
ADDED_COUNTS = -1000  # RADIO_ADD_OFFSET and BOA_ADD_OFFSET since processing baseline 04.00 (2022-01-25)
FIRST_BASELINE_WITH_OFFSET = 4.0
C_BAND_UM = 55_465.8

_S2 = tuple(
    Band(name, wavelength_um=nm / 1000, gsd=gsd)
    for name, nm, gsd in (
        ("B01", 443, 60), ("B02", 492, 10), ("B03", 560, 10), ("B04", 665, 10), ("B05", 704, 20), ("B06", 740, 20),
        ("B07", 783, 20), ("B08", 833, 10), ("B8A", 865, 20), ("B09", 945, 60), ("B10", 1374, 60), ("B11", 1614, 20),
        ("B12", 2202, 20),
    )
)  # fmt: skip
_S1 = tuple(Band(name, wavelength_um=C_BAND_UM, gsd=10) for name in ("VV", "VH"))
_LANDSAT = tuple(
    Band(name, wavelength_um=nm / 1000, gsd=30)
    for name, nm in (
        ("SR_B1", 443), ("SR_B2", 482), ("SR_B3", 561), ("SR_B4", 655), ("SR_B5", 865), ("SR_B6", 1609), ("SR_B7", 2201)
    )
)  # fmt: skip
_RGB = (Band("red", 0.665), Band("green", 0.560), Band("blue", 0.492))

_L1C = BandSpec("sentinel2", _S2, "reflectance", "L1C", scale=REFLECTANCE_PER_COUNT, nodata=0)
_L2A = replace(_L1C, product="L2A").select([band.name for band in _S2 if band.name != "B10"])
_GRD = BandSpec("sentinel1", _S1, "db", "GRD")

PRESETS: dict[str, BandSpec] = {
    "sentinel2_l1c": _L1C,
    "sentinel2_l2a": _L2A,
    "sentinel2_10m": _L2A.select(["B02", "B03", "B04", "B08"]),
    "sentinel2_20m": _L2A.select(["B05", "B06", "B07", "B8A", "B11", "B12"]),
    "sentinel2_60m": _L2A.select(["B01", "B09"]),
    "sentinel2_rgb": _L2A.select(["B04", "B03", "B02"]),
    "eurosat_l1c": _L1C.select([*(band.name for band in _S2 if band.name != "B8A"), "B8A"]),  # file order: B8A last
    "so2sat_sen2": replace(_L2A, product="So2Sat", scale=1.0, nodata=None).select(
        ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    ),
    "sentinel1_db": _GRD,
    "sentinel1_power": replace(_GRD, unit="power"),
    "sentinel1_amplitude": replace(_GRD, unit="amplitude"),
    "sentinel1_db_vh_vv": _GRD.select(["VH", "VV"]),  # Satlas weights, and any reader that sorts file names
    "landsat_c2_l2": BandSpec("landsat", _LANDSAT, "reflectance", "C2L2", scale=2.75e-5, offset=-0.2, nodata=0),
    "rgb": BandSpec("picture", _RGB, "intensity", scale=1 / 255),
    "elevation": BandSpec("dem", (Band("elevation", gsd=30),), "metre"),
}


def preset(name: str, bands: Sequence[str] | None = None) -> BandSpec:
    """The preset `name`, or some of its bands in the order given. Raises ConfigError with the nearest name."""
    if name not in PRESETS:
        raise ConfigError(f"sensor: there is no preset '{name}'{nearest(name, PRESETS)}")
    spec = PRESETS[name]
    return spec if bands is None else spec.select(bands)


def with_baseline(spec: BandSpec, baseline: str, *, harmonised: bool = False) -> BandSpec:
    """A Sentinel-2 spec with the offset of its processing baseline, for instance "02.14" or "05.10".

    harmonised: the provider has removed the offset already (Earth Engine *_HARMONIZED, Earth Search items with
    `earthsearch:boa_offset_applied`). The acquisition date does not tell: Collection 1 reprocessed old scenes.
    Raises ConfigError for what is no baseline.
    """
    if spec.sensor != "sentinel2":
        raise ConfigError(f"processing baseline: Sentinel-2 has one, {spec.describe()} does not")
    try:
        number = float(baseline.lstrip("Nn")) if "." in baseline else float(baseline.lstrip("Nn")) / 100
    except ValueError as err:
        raise ConfigError(f"processing baseline: is '{baseline}'; expected for instance 04.00 or N0400") from err
    added = ADDED_COUNTS if number >= FIRST_BASELINE_WITH_OFFSET and not harmonised else 0
    return replace(spec, offset=added * REFLECTANCE_PER_COUNT)
