"""Land cover that changes for good between two dates: woods felled, fields built up, a reservoir filled.

Snow, floods, harvests and falling leaves are in `seasons`: they alter the picture, and are not called change here.

Shape legend: H, W = rows and columns (10 m).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from domains.remote_sensing.scenes.classes import BARE, BUILT, CROPS, GRASS, SHRUB, TREES, WATER
from domains.remote_sensing.scenes.cover import PIXEL, Cover
from domains.remote_sensing.scenes.fields import fractal

CHANGED = 0.6  # chance of an event at a place, where a dataset has events at all
SHARE = (0.03, 0.2)  # of the scene that lies within reach of an event
LEAST = 0.01  # an event that alters less of the scene than this does not take place
# kind -> (what it befalls, what that becomes)
KINDS: dict[str, tuple[tuple[int, ...], int]] = {
    "felled": ((TREES,), BARE),
    "built": ((CROPS, GRASS, BARE, SHRUB), BUILT),
    "flooded valley": ((CROPS, GRASS, BARE, SHRUB, TREES), WATER),
}


@dataclass(frozen=True, slots=True)
class Event:
    """kind: of KINDS, "" = nothing happened. when: the first date (1 to 3) that shows it; 4 = none does. cover: after
    it. changed_HW: bool, where the land cover is another one for good."""

    kind: str
    when: int
    cover: Cover
    changed_HW: NDArray[np.bool_]  # noqa: N815


def sample_event(rng: np.random.Generator, cover: Cover) -> Event:
    """What happens to a place, if anything does."""
    classes_HW = cover.classes_HW
    nothing = Event("", 4, cover, np.zeros(classes_HW.shape, bool))
    if rng.random() >= CHANGED:
        return nothing
    field = fractal(rng, 1, len(classes_HW), beta=3.2, longest=60)[0]
    share, when = float(rng.uniform(*SHARE)), int(rng.integers(1, 4))
    flat = np.hypot(*np.gradient(cover.height_HW, PIXEL)) < 0.3
    kinds = [str(kind) for kind in rng.permutation(list(KINDS))]
    heights = rng.gamma(2.0, 4.0, 4096).astype(np.float32)[cover.parcel_HW % 4096] + 3
    for kind in kinds:
        befallen, becomes = KINDS[kind]
        there = np.isin(classes_HW, befallen) & (flat | (kind == "felled"))
        if there.mean() < LEAST:
            continue
        reach = min(1.0, share / float(there.mean()))
        changed = there & (field > np.quantile(field[there], 1 - reach))
        if changed.mean() < LEAST:
            continue
        classes = classes_HW.copy()
        classes[changed] = becomes
        building = np.where(changed, heights if becomes == BUILT else 0, cover.building_HW).astype(np.float32)
        garden = np.where(changed & (becomes == BUILT), 0.1, cover.garden_HW).astype(np.float32)
        return Event(kind, when, replace(cover, classes_HW=classes, building_HW=building, garden_HW=garden), changed)
    return nothing
