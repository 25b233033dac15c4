"""Ridge regression with the strength chosen on validation rows: the plain baseline of every property.

Shape legend: N = training rows, V = validation rows, M = test rows, D = features.
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

    Features are standardised over training rows; one that never varies there is only centred.
    """
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train_ND.astype(np.float64))
    train, val, test = (scaler.transform(x.astype(np.float64)) for x in (train_ND, val_VD, test_MD))
    never_D = scaler.var_ == 0
    for x in (train, val, test):
        x[:, never_D] = 0  # what was never seen has no weight, whatever held-out rows hold
    models = [Ridge(alpha=alpha).fit(train, y_N) for alpha in alphas]
    best = int(np.argmin([np.mean((model.predict(val) - y_V) ** 2) for model in models]))
    return models[best].predict(test), alphas[best]
