"""Predictions of overlapping windows added up, as far as later windows can still change them.

Shape legend: G = classes, K = pixels of a window's side, W = columns of the scene (at least K).
"""

from __future__ import annotations

import numpy as np


class Blender:
    """Weighted sums of class probabilities for K rows of the scene, K x W x G numbers whatever its height."""

    def __init__(self, classes: int, window: int, width: int) -> None:
        self._sum_GKW = np.zeros((classes, window, max(width, window)), np.float32)
        self.width = width

    def add(self, left: int, prob_GKK: np.ndarray, rows_K: np.ndarray, columns_K: np.ndarray) -> None:
        """Add a window that begins with the first row held, at column `left`, by its weights along both axes."""
        window = len(columns_K)
        self._sum_GKW[:, :, left : left + window] += prob_GKK * (rows_K[:, None] * columns_K)

    def take(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first `count` rows, which no later window touches, and forget them: classes and their probability.

        (count, W) uint8, the first of equal classes; (count, W) float32 in [0, 1].
        """
        done_GRW = self._sum_GKW[:, :count, : self.width]
        classes_RW = done_GRW.argmax(axis=0).astype(np.uint8)
        confidence_RW = done_GRW.max(axis=0).clip(0, 1)
        rest = self._sum_GKW.shape[1] - count
        for sum_KW in self._sum_GKW:
            sum_KW[:rest] = sum_KW[count:].copy()
            sum_KW[rest:] = 0
        return classes_RW, confidence_RW
