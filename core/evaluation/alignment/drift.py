"""Semantic drift of a model that goes back and forth between text and image: the telephone game (Mollah et al. 2025).

Shape legend: G = generations, N = items, E = width of the scorer's embeddings.
A chain starts from a real item, generation 0, and each generation is made from the one before in the other modality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from core.errors import ConfigError, DataError
from core.evaluation.alignment.rows import unit

STARTS = ((1.0, 0.1, 0.0), (-1.0, 0.1, 1.0))  # of the fit: amplitude, rate, level; the first is the published one
FLAT = 1e-6  # what cosines of float32 vectors differ by from rounding alone


@dataclass(frozen=True, slots=True)
class Curve:
    """similarity: (G,) mean cosine to generation 0. generation: (G,) which generation each is, 1 = the first made."""

    generation: NDArray[np.float64]
    similarity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decay:
    """similarity = amplitude * exp(-rate * generation) + level. A flat curve has amplitude and rate 0."""

    amplitude: float
    rate: float
    level: float


@dataclass(frozen=True, slots=True)
class Drift:
    """mean_similarity: by setting, the mean cosine over generations; the published name is mean cumulative drift (MCD),
    but higher is better. overall: mean over settings. decay: by setting (semantic drift rate, SDR). mean_decay: mean
    of each parameter over settings."""

    mean_similarity: dict[str, float]
    overall: float
    decay: dict[str, Decay]
    mean_decay: Decay


def generations(*, last: int, same_modality: bool) -> NDArray[np.int64]:
    """Which generations 1..last hold the modality of the start (the even ones) or the other (the odd ones)."""
    if last < 1:
        raise ConfigError(f"telephone game: last generation is {last}; give at least 1")
    return np.arange(2 if same_modality else 1, last + 1, 2)


def similarity_curve(start_NE: Tensor, chain_GNE: Tensor, generation_G: ArrayLike) -> Curve:
    """Mean cosine of each generation of N chains to their own start, both embedded by the scorer of this setting."""
    generation = np.asarray(generation_G, dtype=np.float64)
    if chain_GNE.ndim != 3 or chain_GNE.shape[1:] != start_NE.shape or len(generation) != len(chain_GNE):
        raise DataError(
            f"telephone game: chain is {tuple(chain_GNE.shape)}, start {tuple(start_NE.shape)}, {len(generation)} "
            "generations; give (G, N, E), (N, E) and G numbers"
        )
    cosine_GN = torch.einsum("gne,ne->gn", torch.stack([unit(x_NE) for x_NE in chain_GNE]), unit(start_NE))
    return Curve(generation, cosine_GN.double().mean(dim=1).cpu().numpy())


def decay_fit(curve: Curve) -> Decay:
    """Least-squares fit of the decay (scipy), rate at least 0, the better of a falling and a rising start.

    amplitude within [-2, 2] and level within [-1, 1], what cosines can span; without them a straight curve has no best
    fit. Raises DataError for fewer than 3 generations.
    """
    from scipy.optimize import curve_fit

    y_G = curve.similarity
    if len(y_G) < 3 or not np.isfinite(y_G).all():
        raise DataError(f"telephone game: {len(y_G)} generations, or nan among them; a decay has three parameters")
    if np.ptp(y_G) <= FLAT:  # every rate fits a flat curve
        return Decay(0.0, 0.0, float(y_G.mean()))

    def decay(g_G: NDArray[np.float64], a: float, b: float, c: float) -> NDArray[np.float64]:
        return a * np.exp(-b * g_G) + c

    bounds = ([-2.0, 0.0, -1.0], [2.0, np.inf, 1.0])
    fits = [
        curve_fit(decay, curve.generation, y_G, p0=start, bounds=bounds, max_nfev=20_000)[0] for start in STARTS
    ]  # fmt: skip
    best = min(fits, key=lambda fit: float(np.square(decay(curve.generation, *fit) - y_G).sum()))
    return Decay(*(float(value) for value in best))


def semantic_drift(settings: Mapping[str, Curve]) -> Drift:
    """Figures of the settings, usually text-text, text-image, image-image and image-text: the start's modality, then
    that of the generations it is compared with."""
    if not settings:
        raise DataError("telephone game: no settings; give at least one curve")
    mean = {name: float(curve.similarity.mean()) for name, curve in settings.items()}
    decay = {name: decay_fit(curve) for name, curve in settings.items()}
    parameters = np.array([[d.amplitude, d.rate, d.level] for d in decay.values()]).mean(axis=0)
    return Drift(mean, float(np.mean(list(mean.values()))), decay, Decay(*(float(p) for p in parameters)))
