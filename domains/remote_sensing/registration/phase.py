"""The baseline: phase correlation of gradients (scikit-image), which needs no training and finds shifts only.

Shape legend: H, W = rows and columns. Pictures are grey in [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch

from core.errors import ConfigError
from domains.remote_sensing.registration.appearance import blur, gradient

SMOOTH = 1  # times that a picture is blurred before its gradient: speckle has none of its own then
UPSAMPLE = 20  # a shift is found to a twentieth of a pixel


def phase_shift(
    first_HW: np.ndarray, second_HW: np.ndarray, first_valid_HW: np.ndarray, second_valid_HW: np.ndarray
) -> np.ndarray:
    """(2,) displacement (x, y) in pixels: a point p of the first picture lies at p + displacement in the second.

    Gradient magnitudes are compared, so that contrast may be inverted; invalid pixels and their neighbours are 0, and
    a Hann window takes the edges away.
    """
    try:
        from skimage.registration import phase_cross_correlation
    except ImportError as err:
        raise ConfigError(f"registration needs scikit-image ({err}): pip install 'heptad[remote-sensing]'") from err
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in first_HW.shape))
    edges = [_edges(x, valid) * taper for x, valid in ((first_HW, first_valid_HW), (second_HW, second_valid_HW))]
    if not all(e.any() for e in edges):
        return np.full(2, np.nan)
    shift, _, _ = phase_cross_correlation(edges[0], edges[1], upsample_factor=UPSAMPLE, normalization="phase")
    return -np.asarray(shift, np.float64)[::-1]


def _edges(x_HW: np.ndarray, valid_HW: np.ndarray) -> np.ndarray:
    picture = torch.from_numpy(np.ascontiguousarray(x_HW, np.float32))[None, None]
    found: np.ndarray = gradient(blur(picture, SMOOTH))[0, 0].numpy()
    invalid = torch.from_numpy((~valid_HW).astype(np.float32))[None, None]
    near = blur(invalid, SMOOTH + 1)[0, 0].numpy() > 0
    known = found[~near]
    return np.where(near, 0.0, found - (known.mean() if known.size else 0.0))
