"""What is true of a scene on one date, as captions and labels need it: counted on the clean label map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domains.remote_sensing.scenes.classes import BUILT, CLASSES, CROPS, TREES, WATER
from domains.remote_sensing.scenes.cover import Cover
from domains.remote_sensing.scenes.places import Place
from domains.remote_sensing.scenes.seasons import Seasons

PRESENT = 0.05  # a class covers at least this share of a scene to be one of its labels
VISIBLE = 0.004  # a river or lake that covers less is not spoken of


@dataclass(frozen=True, slots=True)
class Facts:
    """shares: of each class. river: "", "narrow" or "broad". town: "", "houses", "town" or "city". tall: buildings
    above 18 m on average. relief: "flat", "hilly" or "mountainous". fields: "", "green", "harvested" or "bare".
    trees: "", "evergreen", "leafless" or "green" (what most of them are). snow, flood: on this date.
    """

    season: str
    shares: tuple[float, ...]
    river: str
    lake: bool
    coast: bool
    town: str
    tall: bool
    relief: str
    fields: str
    trees: str
    snow: bool
    flood: bool

    @property
    def labels(self) -> dict[str, int]:
        """Class -> 1 where it covers at least `PRESENT` of the scene, else 0."""
        return {name: int(share >= PRESENT) for name, share in zip(CLASSES, self.shares, strict=True)}

    def largest(self, count: int = 3, least: float = 0.08) -> list[int]:
        """The classes that cover most, in order, of those that cover at least `least`."""
        order = sorted(range(len(self.shares)), key=lambda c: -self.shares[c])
        return [c for c in order if self.shares[c] >= least][:count]


def facts_of(place: Place, cover: Cover, seasons: Seasons, t: int) -> Facts:
    """The facts on date `t`."""
    classes = seasons.classes_THW[t]
    counts = np.bincount(classes.ravel(), minlength=len(CLASSES))
    shares = tuple(float(share) for share in counts / classes.size)
    river_seen = ((cover.river_HW < cover.river_width) & (classes == WATER)).mean() > VISIBLE
    built = shares[BUILT]
    height = cover.building_HW[cover.building_HW > 0]
    fields = classes == CROPS
    wood = classes == TREES
    return Facts(
        season=place.seasons[t],
        shares=shares,
        river="" if not river_seen else "broad" if cover.river_width >= 3 else "narrow",
        lake=cover.has_lake and shares[WATER] > 2 * VISIBLE,
        coast=cover.has_coast and shares[WATER] > 0.03,
        town="city" if built > 0.3 else "town" if built > 0.1 else "houses" if built > 0.015 else "",
        tall=bool(built > 0.1 and len(height) and height.mean() > 18),
        relief=_relief(cover),
        fields=_fields(seasons, t, fields) if fields.mean() > PRESENT else "",
        trees=_trees(cover, seasons, t, wood) if wood.mean() > PRESENT else "",
        snow=seasons.snowy[t],
        flood=seasons.flooded[t],
    )


def _relief(cover: Cover) -> str:
    low, high = np.percentile(cover.height_HW, (2, 98))
    return "flat" if high - low < 40 else "hilly" if high - low < 350 else "mountainous"


def _fields(seasons: Seasons, t: int, fields: np.ndarray) -> str:
    green = float(seasons.green_THW[t][fields].mean())
    if green > 0.55:
        return "green"
    if green > 0.2:  # some of everything
        return ""
    return "harvested" if seasons.straw_THW[t][fields].mean() > 0.45 else "bare"


def _trees(cover: Cover, seasons: Seasons, t: int, wood: np.ndarray) -> str:
    if cover.evergreen_HW[wood].mean() > 0.7:
        return "evergreen"
    broad = wood & ~cover.evergreen_HW
    green = float(seasons.green_THW[t][broad].mean()) if broad.any() else 1.0
    return "leafless" if green < 0.5 and cover.evergreen_HW[wood].mean() < 0.4 else "green" if green > 0.7 else ""
