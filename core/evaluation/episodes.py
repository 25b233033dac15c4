"""Few-shot classification in episodes: n classes, k examples of each, the nearest class mean answers.

Shape legend: N = rows, D = width, n = ways, k = shots, q = queries of a class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.evaluation.bootstrap import Interval


def episode_accuracy(
    x_ND: NDArray[np.floating],
    label_N: NDArray[np.int64],
    *,
    ways: int,
    shots: int,
    queries: int = 10,
    episodes: int = 200,
    seed: int = 0,
) -> Interval:
    """Mean accuracy over episodes and its 95% interval (normal, over episodes; they share rows, so it says how well the
    mean over episodes is known, not how other data would do). Chance is 1 / ways.

    An episode draws `ways` classes among those with shots + queries rows, then that many rows of each, by `seed`. A
    query takes the class whose mean of unit support vectors has the largest cosine (Snell et al. 2017, cosine form).
    label_N: -1 = unknown. Raises ConfigError when too few classes have enough rows.
    """
    if ways < 2 or min(shots, queries, episodes) < 1:
        raise ConfigError(f"episodes: ways {ways}, shots {shots}, queries {queries}, episodes {episodes}")
    rows_of = [np.flatnonzero(label_N == label) for label in np.unique(label_N[label_N >= 0])]
    usable = [rows for rows in rows_of if len(rows) >= shots + queries]
    if len(usable) < ways:
        raise ConfigError(f"episodes: {len(usable)} classes have {shots + queries} rows or more; {ways} are needed")
    unit_ND = np.asarray(x_ND, np.float64)
    unit_ND = unit_ND / np.maximum(np.linalg.norm(unit_ND, axis=1, keepdims=True), 1e-12)
    rng, found = np.random.default_rng(seed), np.zeros(episodes)
    for episode in range(episodes):
        classes = rng.choice(len(usable), ways, replace=False)
        drawn = np.stack([rng.permutation(usable[c])[: shots + queries] for c in classes])
        mean_nD = unit_ND[drawn[:, :shots]].mean(axis=1)
        mean_nD /= np.maximum(np.linalg.norm(mean_nD, axis=1, keepdims=True), 1e-12)
        answer_nq = (unit_ND[drawn[:, shots:]] @ mean_nD.T).argmax(axis=-1)
        found[episode] = (answer_nq == np.arange(ways)[:, None]).mean()
    half = 1.96 * found.std(ddof=1) / np.sqrt(episodes) if episodes > 1 else 0.0
    return Interval(float(found.mean()), float(found.mean() - half), float(found.mean() + half), resamples=episodes)
