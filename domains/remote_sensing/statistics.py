"""Means and deviations of bands over large datasets, as published; they belong to weights that were trained with them.

Values are in the unit of the preset's bands: reflectance for Sentinel-2 (published counts / 10,000), dB for Sentinel-1.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import ConfigError, nearest
from domains.remote_sensing.bands import BandSpec, listed
from domains.remote_sensing.sensors import PRESETS


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """mean, deviation: of each band of `spec`, in its unit and order. source: who published them."""

    spec: BandSpec
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    source: str

    def of(self, spec: BandSpec) -> tuple[list[float], list[float]]:
        """Means and deviations of the bands of `spec`, by name. Raises ConfigError for a band that is not there."""
        missing = [name for name in spec.names if name not in self.spec.names]
        if missing or spec.unit != self.spec.unit:
            raise ConfigError(
                f"statistics: these are of {listed(self.spec.names)} in {self.spec.unit}, wanted are "
                f"{listed(spec.names)} in {spec.unit}; choose others, or learn them from the data (statistics: fit)"
            )
        rows = [self.spec.names.index(name) for name in spec.names]
        return [self.mean[row] for row in rows], [self.deviation[row] for row in rows]


def _counts(*values: float) -> tuple[float, ...]:
    return tuple(round(value / 10_000, 9) for value in values)


PUBLISHED: dict[str, BandStatistics] = {
    "ssl4eo_s1": BandStatistics(
        PRESETS["sentinel1_db"], (-12.548, -20.192), (5.257, 5.912), "SSL4EO-S12 (Wang et al. 2023), as used by CromSS"
    ),
    "ssl4eo_s2c": BandStatistics(
        PRESETS["sentinel2_l1c"],
        _counts(1605.58, 1390.78, 1314.87, 1363.52, 1549.44, 2091.75, 2371.72, 2299.90, 2560.29, 830.07, 22.10, 2177.07,
                1524.07),
        _counts(786.79, 850.34, 875.06, 1138.85, 1122.18, 1161.59, 1274.39, 1248.43, 1345.53, 577.32, 51.15, 1336.10,
                1136.54),
        "SSL4EO-S12 (Wang et al. 2023), L1C",
    ),
    "ssl4eo_s2a": BandStatistics(
        PRESETS["sentinel2_l2a"],
        _counts(752.40, 884.30, 1144.16, 1297.47, 1624.91, 2194.64, 2422.21, 2517.76, 2581.65, 2645.52, 2368.51,
                1805.07),
        _counts(1108.03, 1155.15, 1183.63, 1368.11, 1370.27, 1355.55, 1416.51, 1474.79, 1439.31, 1582.28, 1455.52,
                1343.48),
        "SSL4EO-S12 (Wang et al. 2023), L2A",
    ),
    "terramesh_s1_grd": BandStatistics(
        PRESETS["sentinel1_db"], (-12.599, -20.293), (5.195, 5.890), "TerraMind (Jakubik et al. 2025)"
    ),
    "sen1floods11_s1": BandStatistics(
        PRESETS["sentinel1_db"], (-10.18, -16.90), (4.26, 5.29), "Sen1Floods11 (Bonafilia et al. 2020)"
    ),
    "clip_rgb": BandStatistics(
        PRESETS["rgb"].as_values(), (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711),
        "CLIP (Radford et al. 2021)",
    ),
}  # fmt: skip


def published(name: str) -> BandStatistics:
    """The statistics called `name`. Raises ConfigError with the nearest name."""
    if name not in PUBLISHED:
        raise ConfigError(f"statistics: there are none called '{name}'{nearest(name, [*PUBLISHED, 'fit'])}")
    return PUBLISHED[name]
