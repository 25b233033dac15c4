"""Accuracy of two-alternative forced choice (2AFC). Shape legend: N = triples, E = embedding width."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from core.errors import DataError
from core.evaluation.bootstrap import Groups, Interval, bootstrap_interval, mean_statistic
from core.evaluation.ranking import TIE_TOLERANCE
from core.evaluation.scores import Vectors, unit_rows


def two_alternative_accuracy(
    reference_NE: Vectors,
    first_NE: Vectors,
    second_NE: Vectors,
    second_chosen_N: ArrayLike,
    *,
    groups_N: Groups = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """Share of triples in which the candidate that people chose has the higher cosine to the reference; equal cosines
    count half, so that a collapsed encoder scores 0.5.

    second_chosen_N: 0 or False = the first candidate was chosen, 1 or True = the second. The reference may be of
    another modality (a sentence between two images, or "A high-quality photo." for image quality).
    """
    r_NE, a_NE, b_NE = (
        unit_rows(x, name) for x, name in ((reference_NE, "reference"), (first_NE, "first"), (second_NE, "second"))
    )
    answer_N = np.asarray(second_chosen_N, dtype=np.float64)
    if not (r_NE.shape == a_NE.shape == b_NE.shape) or answer_N.shape != (len(r_NE),) or not len(r_NE):
        raise DataError(
            f"2AFC: reference {tuple(r_NE.shape)}, candidates {tuple(a_NE.shape)} and {tuple(b_NE.shape)}, "
            f"{answer_N.size} answers; give one row of each per triple"
        )
    if not np.isin(answer_N, (0.0, 1.0)).all():
        raise DataError("2AFC: answers must be 0 (the first candidate was chosen) or 1 (the second)")
    difference_N = ((r_NE * b_NE).sum(dim=1) - (r_NE * a_NE).sum(dim=1)).numpy()
    side_N = np.where(np.abs(difference_N) <= TIE_TOLERANCE, 0.5, difference_N > 0)
    right_N = np.where(answer_N == 1, side_N, 1 - side_N)
    return bootstrap_interval(mean_statistic(right_N), len(right_N), groups_N=groups_N, n=n_bootstrap, seed=seed)
