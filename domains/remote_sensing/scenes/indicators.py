"""Simulated indicators of a place: numbers that follow from its buildings, streets and fields, with noise.

They are no statistics of any country. What they have in common with real ones: they are about the place and not about
a date, a picture tells a good part of them but not all, and most of their range is in towns.
"""

from __future__ import annotations

import numpy as np

from domains.remote_sensing.scenes.classes import BUILT, CROPS
from domains.remote_sensing.scenes.cover import Cover

STOREY = 3.0  # metres
FLOOR_PER_PERSON = 60.0  # square metres, dwellings and everything else
PER_PERSON, PER_BUILT, PER_FIELD = 4.0, 6000.0, 250.0  # tonnes of CO2 a year: a person, a km2 of built land, of fields
BRIGHTEST, DARK_SKY = 60.0, 0.3  # nW / cm2 / sr
# deviation of the logarithm of what multiplies each indicator
NOISE = {"simulated_population": 0.25, "simulated_carbon": 0.2, "simulated_night_light": 0.15}
INDICATORS = tuple(NOISE)


def indicators(rng: np.random.Generator, cover: Cover) -> dict[str, float]:
    """Simulated population (people per km2), carbon (tonnes of CO2 per km2 and year), night light (nW / cm2 / sr).

    Population is floor space (storeys of buildings, without gardens) over `FLOOR_PER_PERSON`; carbon comes from people,
    built land and fields; night light saturates with the built share. Each is times log-normal noise (`NOISE`).
    """
    built_HW = cover.classes_HW == BUILT
    storeys_HW = np.where(built_HW & (cover.building_HW > 0), np.maximum(cover.building_HW / STOREY, 1), 0)
    floor_per_km2 = float((storeys_HW * (1 - cover.garden_HW)).mean()) * 1e6
    people = floor_per_km2 / FLOOR_PER_PERSON
    built, fields = float(built_HW.mean()), float((cover.classes_HW == CROPS).mean())
    expected = {
        "simulated_population": people,
        "simulated_carbon": PER_PERSON * people + PER_BUILT * built + PER_FIELD * fields,
        "simulated_night_light": DARK_SKY + BRIGHTEST * (1 - float(np.exp(-6 * built))),
    }
    return {name: value * float(np.exp(rng.normal(0, NOISE[name]))) for name, value in expected.items()}
