"""One simulated place on four dates: Sentinel-1, Sentinel-2, true and noisy labels, captions, and their facts.

Shape legend: T = 4 dates, H, W = rows and columns (10 m).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, nearest
from domains.remote_sensing.raster import Transform
from domains.remote_sensing.scenes.captions import captions
from domains.remote_sensing.scenes.cover import PIXEL, Cover, sample_cover
from domains.remote_sensing.scenes.events import sample_event
from domains.remote_sensing.scenes.facts import Facts, facts_of
from domains.remote_sensing.scenes.fields import Field
from domains.remote_sensing.scenes.indicators import indicators
from domains.remote_sensing.scenes.optical import Optical, render_optical
from domains.remote_sensing.scenes.places import CLIMATES, Place, sample_place
from domains.remote_sensing.scenes.radar import render_radar
from domains.remote_sensing.scenes.seasons import Seasons, sample_seasons
from domains.remote_sensing.scenes.weak_labels import weak_labels

SIZE = 96  # pixels: a multiple of 6, so that 10, 20 and 60 m share corners, and of 32
GERMAN = 0.4  # share of places that have German captions too
EDGE = 0.05  # chance that a date has a strip without data: the edge of a Sentinel-1 or Sentinel-2 swath
SeedLike = int | np.random.SeedSequence


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything about one place. Simulated: no satellite saw it.

    reflectance_TCHW: (4, 12, H, W) float32, Sentinel-2 L2A bands on the 10 m grid, nan where nothing was recorded.
    radar_TPHW: (4, 2, H, W) float32 sigma0 in dB, VV and VH, nan likewise. clean_THW, noisy_THW: uint8 classes.
    cloud_THW: uint8, 0 clear, 1 cloud, 2 shadow. height_HW: metres. captions: by date and language. facts: by date.
    changed_THW: bool, where land cover is another one for good than on the first date. event: what happened, "" =
    nothing; when: the first date that shows it, 4 = none.
    indicators: simulated, of the place.
    """

    place: Place
    reflectance_TCHW: Field  # noqa: N815
    radar_TPHW: Field  # noqa: N815
    clean_THW: NDArray[np.uint8]  # noqa: N815
    noisy_THW: NDArray[np.uint8]  # noqa: N815
    cloud_THW: NDArray[np.uint8]  # noqa: N815
    height_HW: Field  # noqa: N815
    captions: tuple[dict[str, list[str]], ...]
    facts: tuple[Facts, ...]
    changed_THW: NDArray[np.bool_]  # noqa: N815
    event: str
    when: int
    indicators: dict[str, float]

    @property
    def crs(self) -> str:
        return f"EPSG:{self.place.epsg}"

    @property
    def transform(self) -> Transform:
        """Of the 10 m grid."""
        return PIXEL, 0.0, self.place.origin[0], 0.0, -PIXEL, self.place.origin[1]


def simulate(seed: SeedLike, *, size: int = SIZE, climate: str = "", events: bool = False) -> Scene:
    """Simulate the place that `seed` stands for; equal arguments give equal arrays.

    size: rows and columns, a multiple of 6. climate: name of one of `CLIMATES`; "" = draw it. events: whether land
    cover may change for good between two dates; a place without an event is the same either way.
    Raises ConfigError for a bad size or an unknown climate.
    """
    if size < 24 or size % 6:
        raise ConfigError(f"size: is {size}; give a multiple of 6, at least 24, so that 60 m bands fit")
    chosen = {c.name: c for c in CLIMATES}
    if climate and climate not in chosen:
        raise ConfigError(f"climate: is '{climate}'{nearest(climate, chosen)}")
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    where, ground, year, light, radar, faults, wording, chance, people = sequence.spawn(9)
    place = sample_place(np.random.default_rng(where), chosen.get(climate))
    cover = sample_cover(np.random.default_rng(ground), place, size)
    event = sample_event(np.random.default_rng(chance), cover) if events else None
    views = [_view((year, light, radar), place, cover)]
    when = 4
    if event is not None and event.kind:  # the year as it would have been with each cover, from the same draws
        views, when = [*views, _view((year, light, radar), place, event.cover)], event.when
    chosen_view = [views[t >= when] for t in range(4)]
    radar_TPHW = np.stack([view.radar_TPHW[t] for t, view in enumerate(chosen_view)])
    reflectance_TCHW = np.stack([view.optical.reflectance_TCHW[t] for t, view in enumerate(chosen_view)])
    clean_THW = np.stack([view.seasons.classes_THW[t] for t, view in enumerate(chosen_view)])
    cloud_THW = np.stack([view.optical.cloud_THW[t] for t, view in enumerate(chosen_view)])
    changed_THW = np.zeros(clean_THW.shape, bool)
    if event is not None:
        changed_THW[when:] = event.changed_HW
    dice = np.random.default_rng(faults)
    noisy_THW = weak_labels(dice, clean_THW, cloud_THW)
    for stack in (reflectance_TCHW, radar_TPHW):
        _cut_edges(dice, stack)
    facts = tuple(facts_of(place, view.cover, view.seasons, t) for t, view in enumerate(chosen_view))
    words = np.random.default_rng(wording)
    languages = ("en", "de") if words.random() < GERMAN else ("en",)
    told = tuple(
        {language: captions(f, words, language=language, count=5 if language == "en" else 3) for language in languages}
        for f in facts
    )
    return Scene(
        place, reflectance_TCHW, radar_TPHW, clean_THW, noisy_THW, cloud_THW, cover.height_HW, told, facts,
        changed_THW, event.kind if event is not None else "", when, indicators(np.random.default_rng(people), cover),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _View:
    """The year of one land cover, as the sensors see it."""

    cover: Cover
    seasons: Seasons
    optical: Optical
    radar_TPHW: Field  # noqa: N815


def _view(seeds: tuple[np.random.SeedSequence, ...], place: Place, cover: Cover) -> _View:
    year, light, radar = (np.random.default_rng(seed) for seed in seeds)
    seasons = sample_seasons(year, place, cover)
    return _View(
        cover, seasons, render_optical(light, place, cover, seasons), render_radar(radar, place, cover, seasons)
    )


def _cut_edges(rng: np.random.Generator, stack: Field) -> None:
    """Now and then a corner beyond the swath: nan from the edge to a slanted line."""
    size = stack.shape[-1]
    rows, columns = np.ogrid[:size, :size]
    for t in range(4):
        chance, slant, depth, right = rng.random(4)
        if chance < EDGE:
            x = columns if right < 0.5 else size - 1 - columns
            stack[t][:, x + (slant - 0.5) * 0.6 * rows < (0.05 + 0.4 * depth) * size] = np.nan
