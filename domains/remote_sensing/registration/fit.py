"""One transform from many matches, some of them wrong; or a clear no.

RANSAC is scikit-image's. Whether what it finds could be chance is decided a contrario (Moisan and Stival 2004): in
pictures that have nothing in common, matches are displaced at random, and some hypothesis always gathers a few of them.

Shape legend: N = matches. Points are (x, y).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.errors import ConfigError, DataError

Model = Literal["shift", "similarity", "affine", "homography"]
NEEDED: dict[str, int] = {"shift": 1, "similarity": 2, "affine": 3, "homography": 4}  # matches that determine it
CERTAIN = -3.0  # log10 of the number of false alarms below which a consensus is no chance


class Shift:
    """A translation, as scikit-image's RANSAC wants a model."""

    def __init__(self, offset: np.ndarray | None = None) -> None:
        self.offset = np.zeros(2) if offset is None else offset

    @classmethod
    def from_estimate(cls, source_N2: np.ndarray, target_N2: np.ndarray) -> Shift:
        return cls((target_N2 - source_N2).mean(axis=0))

    def estimate(self, source_N2: np.ndarray, target_N2: np.ndarray) -> bool:
        self.offset = (target_N2 - source_N2).mean(axis=0)
        return True

    def residuals(self, source_N2: np.ndarray, target_N2: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.linalg.norm(source_N2 + self.offset - target_N2, axis=1)
        return found

    @property
    def params(self) -> np.ndarray:
        return np.array([[1, 0, self.offset[0]], [0, 1, self.offset[1]], [0, 0, 1]], np.float64)


@dataclass(frozen=True, slots=True)
class Fit:
    """matrix_33: takes source points to target points. inliers_N: bool. rms: of the inliers' residuals, in the unit of
    the points. log10_chance: log10 of how many such consensuses chance would give (a contrario); lower is surer."""

    matrix_33: np.ndarray
    inliers_N: np.ndarray  # noqa: N815
    rms: float
    log10_chance: float

    @property
    def share(self) -> float:
        return float(self.inliers_N.mean())


class NoConsensusError(DataError):
    """The matches agree on no transform."""


def fit_transform(
    source_N2: np.ndarray,
    target_N2: np.ndarray,
    *,
    model: Model = "affine",
    threshold: float = 2.0,
    reach: float = 64.0,
    trials: int = 1000,
    seed: int = 0,
    what: str = "the pictures",
) -> Fit:
    """The transform that most matches agree on, fitted to all of those.

    threshold: largest residual of an inlier, in the unit of the points. reach: how far from each other, in that unit,
    two matched points of unrelated pictures may lie (the window that was searched); seed: of the trials.
    Raises NoConsensusError when no transform has more support than chance gives, and never returns one by default.
    """
    if model not in NEEDED:
        raise ConfigError(f"model: is '{model}'; valid: {', '.join(NEEDED)}")
    if threshold <= 0 or reach <= threshold:
        raise ConfigError(f"threshold {threshold} is above 0 and below reach {reach}")
    source, target = (np.asarray(p, np.float64).reshape(-1, 2) for p in (source_N2, target_N2))
    needed = NEEDED[model]
    if len(source) <= needed:
        raise NoConsensusError(f"{what}: {len(source)} matches were found, a {model} needs more than {needed}; {HELP}")
    ransac, classes = _library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # trials that fit nothing are the rule
        found, inliers = ransac(
            (source, target), classes[model], min_samples=needed, residual_threshold=threshold, max_trials=trials,
            rng=np.random.default_rng(seed), stop_probability=0.9999,
        )  # fmt: skip
    if found is None or not found or inliers is None or inliers.sum() <= needed:
        raise NoConsensusError(f"{what}: no {model} fits more than {needed} of {len(source)} matches; {HELP}")
    matrix = np.asarray(found.params, np.float64)
    residual = np.asarray(found.residuals(source, target), np.float64)
    inliers = np.asarray(residual <= threshold)
    chance = log10_false_alarms(int(inliers.sum()), len(source), needed, threshold, reach)
    if chance > CERTAIN or not np.isfinite(matrix).all() or np.linalg.det(matrix) <= 0:
        raise NoConsensusError(
            f"{what}: the best {model} fits {int(inliers.sum())} of {len(source)} matches within {threshold:g}, which "
            f"chance gives too (log10 of false alarms {chance:.1f}, needed below {CERTAIN:g}); {HELP}"
        )
    return Fit(matrix, inliers, float(np.sqrt((residual[inliers] ** 2).mean())), chance)


HELP = (
    "check that both show the same ground, give other bands (--moving_bands, --reference_bands), a matcher trained on "
    "such sensors (--checkpoint), or a larger window"
)


def log10_false_alarms(inliers: int, matches: int, needed: int, threshold: float, reach: float) -> float:
    """log10 of the expected number of hypotheses that gather so many inliers from matches displaced at random.

    A hypothesis from `needed` matches fits each other one with probability q, the disc of `threshold` over the square
    of side 2 * reach: NFA = (n - m) C(n, m) P(Binomial(n - m, q) >= k - m).
    """
    from scipy.special import gammaln
    from scipy.stats import binom

    others = matches - needed
    if others < 1 or inliers <= needed:
        return math.inf
    q = min(math.pi * threshold**2 / (2 * reach) ** 2, 1.0)
    hypotheses = gammaln(matches + 1) - gammaln(needed + 1) - gammaln(others + 1)
    tail = float(binom.logsf(inliers - needed - 1, others, q))
    if not math.isfinite(tail):  # too small for the library's sum: the chance that the first k - m all fit, and how
        k = inliers - needed
        tail = gammaln(others + 1) - gammaln(k + 1) - gammaln(others - k + 1) + k * math.log(q)
    return float((math.log(others) + hypotheses + tail) / math.log(10))


def _library() -> tuple[Any, dict[str, Any]]:
    try:
        from skimage.measure import ransac
        from skimage.transform import AffineTransform, ProjectiveTransform, SimilarityTransform
    except ImportError as err:
        raise ConfigError(f"registration needs scikit-image ({err}): pip install 'heptad[remote-sensing]'") from err
    return ransac, {
        "shift": Shift, "similarity": SimilarityTransform, "affine": AffineTransform, "homography": ProjectiveTransform
    }  # fmt: skip
