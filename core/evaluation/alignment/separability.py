"""Can a linear classifier tell the modalities apart?

Shape legend: N = pairs, E = embedding width, F = rows of the fitted or of the asked part.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ConfigError
from core.evaluation.alignment.rows import check_pairs, unit
from core.evaluation.bootstrap import Groups, group_codes


def separability_hits(
    x_NE: Tensor, y_NE: Tensor, *, folds: int = 5, groups_N: Groups = None, c: float = 1.0, seed: int = 0
) -> NDArray[np.float64]:
    """For each pair the share of its two rows whose modality was told right while the pair was held out, (N,) of
    0, 1/2, 1 (quarters where a row lies on the boundary).

    Logistic regression (scikit-learn, L2, inverse strength `c`) on standardised unit rows. Every pair is held out once:
    `folds` parts, each scored by a classifier of the others. Both rows of a pair, and all of a group, are held out
    together, so that no classifier has seen a twin of what it is asked; nan where all pairs are one group.
    Raises DataError for fewer pairs than folds.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if folds < 2 or c <= 0:
        raise ConfigError(f"linear separability: folds is {folds} and c {c}; give at least 2 folds and a positive c")
    check_pairs("linear separability", x_NE, y_NE, least=folds)
    sides = np.stack([unit(v).cpu().numpy().astype(np.float64) for v in (x_NE, y_NE)])
    codes_N = group_codes(groups_N, len(x_NE))
    groups = int(codes_N.max()) + 1
    folds = min(folds, groups)
    fold_N = (np.random.default_rng(seed).permutation(groups) % folds)[codes_N]
    hits_N = np.full(len(x_NE), np.nan)
    for fold in range(folds if folds > 1 else 0):
        held_N = fold_N == fold
        fit_FE, ask_FE = (np.concatenate(sides[:, rows]) for rows in (~held_N, held_N))
        mean_E, std_E = fit_FE.mean(axis=0), fit_FE.std(axis=0)
        std_E = np.where(std_E > 1e-8, std_E, np.inf)
        model = LogisticRegression(C=c, max_iter=200, tol=1e-3)
        with warnings.catch_warnings():  # a share of right answers needs no more
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit((fit_FE - mean_E) / std_E, np.repeat([1, 0], int((~held_N).sum())))
        side_F = np.sign(model.decision_function((ask_FE - mean_E) / std_E)).reshape(2, -1)
        hits_N[held_N] = ((1 + side_F[0]) / 2 + (1 - side_F[1]) / 2) / 2
    return hits_N


def linear_separability(
    x_NE: Tensor, y_NE: Tensor, *, folds: int = 5, groups_N: Groups = None, c: float = 1.0, seed: int = 0
) -> float:
    """Held-out accuracy of a linear classifier of modality; 0.5 = cannot be told apart (the ideal), 1 = apart.

    The published callback splits 80/20 at random once; five folds are five such splits, and use every row.
    """
    return float(separability_hits(x_NE, y_NE, folds=folds, groups_N=groups_N, c=c, seed=seed).mean())
