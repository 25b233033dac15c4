"""Vectors of simulated scenes from frozen encoders that saw no label: random convolutions for every sensor, latent
semantic analysis for captions.

Shape legend: N = scenes, F = features, E = width of the text vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from domains.remote_sensing.data.samples import SyntheticScenes
from domains.remote_sensing.processors import OpticalProcessor, RadarProcessor
from domains.remote_sensing.processors.captions import caption_lines
from domains.remote_sensing.sensors import PRESETS

RADAR = "radar"
OPTICAL: dict[str, tuple[str, ...]] = {  # pseudo-sensors: bands of Sentinel-2
    "10 m": ("B02", "B03", "B04", "B08"),
    "red edge": ("B05", "B06", "B07", "B8A"),
    "short-wave": ("B11", "B12"),
    "true colour": ("B04", "B03", "B02"),
    "old film": ("B03", "B04", "B08"),
    "coarse": ("B01", "B09"),
}


@dataclass(frozen=True, slots=True)
class Scenes:
    """vectors: sensor -> (N, F). captions: one English caption of each. places: N names."""

    vectors: dict[str, Tensor]
    captions: list[str]
    places: list[str]


def scenes(split: str, *, places: Mapping[str, int], dates: Sequence[int], features: int, size: int) -> Scenes:
    """Read a split once; an encoder depends on its sensor alone (MOSAIKS, Rolf et al. 2021)."""
    layout = SyntheticScenes(split=split, places=places, dates=tuple(dates))
    radar, optical = RadarProcessor(statistics="ssl4eo_s1"), OpticalProcessor(statistics="ssl4eo_s2a")
    names = PRESETS["sentinel2_l2a"].names
    encoders = {
        sensor: random_convolutions(channels, features=features, size=size, seed=number)
        for number, (sensor, channels) in enumerate({RADAR: 2, **{s: len(b) for s, b in OPTICAL.items()}}.items())
    }
    found: dict[str, list[Tensor]] = {sensor: [] for sensor in encoders}
    captions, ids = [], []
    for record in layout:
        s1, s2 = (p.collate([p.load(record.sources[m])]).x for m, p in (("s1", radar), ("s2", optical)))
        found[RADAR].append(encoders[RADAR](s1))
        for sensor, bands in OPTICAL.items():
            found[sensor].append(encoders[sensor](s2[:, [names.index(band) for band in bands]]))
        captions.append(english(str(record.sources["text"])))
        ids.append(record.group)
    return Scenes({sensor: torch.cat(rows) for sensor, rows in found.items()}, captions, ids)


def random_convolutions(channels: int, *, features: int, size: int, seed: int) -> Any:
    """torchgeo's random convolutional features, each with its negative, averaged over the picture."""
    from torchgeo.models import RCF

    return RCF(in_channels=channels, features=features, kernel_size=size, bias=-1.0, seed=seed, mode="gaussian").eval()


def english(lines: str) -> str:
    """The first English caption of a record."""
    return next(text for language, text in caption_lines(lines) if language == "en")


def standardised(known: Tensor, *others: Tensor) -> list[Tensor]:
    """All by the mean and deviation of the first."""
    mean, deviation = known.mean(0), known.std(0).clamp_min(1e-6)
    return [(x - mean) / deviation for x in (known, *others)]


class CaptionSpace:
    """A frozen text encoder: tf-idf of words and pairs of words, reduced by singular vectors of the fitted captions."""

    def __init__(self, captions: Sequence[str], *, width: int, seed: int) -> None:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline

        self._pipe = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), TruncatedSVD(width, random_state=seed)
        )
        self._pipe.fit(list(captions))
        self._mean = self._pipe.transform(list(captions)).mean(0)

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """(N, E) float32."""
        return torch.from_numpy((self._pipe.transform(list(captions)) - self._mean).astype(np.float32))
