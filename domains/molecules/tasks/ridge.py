"""Ridge regression with the strength chosen on validation rows: the plain baseline of every property.

Shape legend: N = training rows, V = validation rows, M = test rows, D = features, A = strengths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Features = NDArray[np.floating]
ALPHAS = tuple(10.0**k for k in range(-3, 6))


def ridge(
    train_ND: Features, y_N: Array, val_VD: Features, y_V: Array, test_MD: Features, alphas: Sequence[float] = ALPHAS
) -> tuple[Array, float]:
    """(M,) predictions and the strength that had the smallest squared error on the validation rows.

    Features are standardised over training rows, one that never varies is left out. One decomposition of the smaller
    of the two Gram matrices serves every strength.
    """
    mean_D, spread_D = train_ND.mean(axis=0, dtype=np.float64), train_ND.std(axis=0, dtype=np.float64)
    varies_D = spread_D > 1e-9

    def standard(x: Features) -> Array:
        return (x[:, varies_D].astype(np.float64) - mean_D[varies_D]) / spread_D[varies_D]

    x_ND, centre = standard(train_ND), float(y_N.mean())
    if x_ND.shape[1] < len(x_ND):
        value_D, vector_DD = np.linalg.eigh(x_ND.T @ x_ND)
        seen_D = vector_DD.T @ (x_ND.T @ (y_N - centre))
        weight_AD = [vector_DD @ (seen_D / (value_D.clip(0) + alpha)) for alpha in alphas]
    else:
        value_N, vector_NN = np.linalg.eigh(x_ND @ x_ND.T)
        seen_N = vector_NN.T @ (y_N - centre)
        weight_AD = [x_ND.T @ (vector_NN @ (seen_N / (value_N.clip(0) + alpha))) for alpha in alphas]
    val = standard(val_VD)
    best = int(np.argmin([np.mean((val @ weight_D + centre - y_V) ** 2) for weight_D in weight_AD]))
    return standard(test_MD) @ weight_AD[best] + centre, alphas[best]
