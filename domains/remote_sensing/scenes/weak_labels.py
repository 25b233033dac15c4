"""Label maps with the faults of Dynamic World, and how many there are: blobs of confused classes, blocky borders, lost
thin structures, clouds taken for something else. The clean map is known, so the noise is.

Shape legend: T = 4 dates, H, W = rows and columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domains.remote_sensing.scenes.classes import BARE, BUILT, CROPS, GRASS, SHRUB, SNOW, TREES, WATER, WETLAND
from domains.remote_sensing.scenes.fields import fractal

# class -> (what it is taken for, on which share of its area)
CONFUSED: dict[int, tuple[tuple[int, float], ...]] = {
    WATER: ((WETLAND, 0.04), (BARE, 0.02)),
    TREES: ((SHRUB, 0.08), (CROPS, 0.02)),
    GRASS: ((SHRUB, 0.13), (CROPS, 0.11)),
    WETLAND: ((WATER, 0.10), (GRASS, 0.11), (TREES, 0.05)),
    CROPS: ((GRASS, 0.11), (SHRUB, 0.05), (BARE, 0.04)),
    SHRUB: ((GRASS, 0.14), (TREES, 0.07), (BARE, 0.05)),
    BUILT: ((BARE, 0.07), (CROPS, 0.03)),
    BARE: ((SHRUB, 0.10), (BUILT, 0.09), (CROPS, 0.04)),
    SNOW: ((BARE, 0.04), (WATER, 0.02)),
}
CLOUD_TAKEN_FOR = (SNOW, BUILT, BARE)
SHADOW_TAKEN_FOR = (WATER, TREES)
LEAK = 0.5  # chance that the clouds of a date are labelled at all wrong
BLOCK = 3  # pixels: coarser cells in parts of the map


def weak_labels(
    rng: np.random.Generator, classes_THW: NDArray[np.uint8], cloud_THW: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(T, H, W) uint8 Dynamic-World-like labels of the true classes."""
    size = classes_THW.shape[-1]
    shared, *own = fractal(rng, 5, size, beta=4.0, longest=24)
    shift = fractal(rng, 2, size, beta=3.6, longest=24)
    coarse = fractal(rng, 1, size, beta=3.0)[0] > 0
    out = np.empty_like(classes_THW)
    for t, (true_HW, cloud_HW) in enumerate(zip(classes_THW, cloud_THW, strict=True)):
        label_HW = _confused(true_HW, 0.6 * shared + 0.8 * own[t], t)
        label_HW = _borders(label_HW, np.roll(shift, t, axis=1) * np.float32(0.55), coarse)
        for kind, taken in ((1, CLOUD_TAKEN_FOR), (2, SHADOW_TAKEN_FOR)):
            if rng.random() < LEAK:
                label_HW[cloud_HW == kind] = taken[int(rng.integers(len(taken)))]
        out[t] = label_HW
    return out


def noise_rate(noisy: NDArray[np.uint8], clean: NDArray[np.uint8]) -> float:
    """Share of pixels whose noisy label is wrong."""
    return float((noisy != clean).mean())


def transitions(noisy: NDArray[np.uint8], clean: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(9, 9) counts: row = true class, column = noisy label."""
    return np.bincount(clean.astype(np.int64).ravel() * 9 + noisy.ravel(), minlength=81).reshape(9, 9)


def _confused(true_HW: NDArray[np.uint8], field: NDArray[np.float32], turn: int) -> NDArray[np.uint8]:
    """Blobs of each class taken for another. The field is made uniform in [0, 1), so that shares are as stated."""
    from scipy.special import ndtr

    uniform = ndtr(field / field.std())
    out = true_HW.copy()
    for kind, others in CONFUSED.items():
        place = (uniform + 0.37 * kind) % 1  # where one class is confused another is not
        low = 0.0
        for other, share in others:
            out[(true_HW == kind) & (place >= low) & (place < low + share)] = other
            low += share
    return out


def _borders(label_HW: NDArray[np.uint8], shift: NDArray[np.float32], coarse: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Displaced by a pixel or so, and in coarse cells where `coarse` is true."""
    size = len(label_HW)
    taken = []
    for index, by in zip(np.indices(label_HW.shape), shift, strict=True):
        cells = index // BLOCK * BLOCK + BLOCK // 2
        taken.append(np.clip(np.where(coarse, cells, index) + np.rint(by).astype(int), 0, size - 1))
    return label_HW[taken[0], taken[1]]
