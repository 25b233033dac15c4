"""Where windows lie along an axis, and how much each counts at each pixel: raised cosines that sum to one everywhere.

Shape legend: N = windows along the axis, K = pixels of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tiling:
    """Windows of `window` x `window` pixels, neighbours sharing `overlap`.

    margin: pixels at a window's borders that count for nothing where a neighbour sees them from further inside: where
    a convolution sees padding. Raises ConfigError for numbers that do not go together.
    """

    window: int
    overlap: int
    margin: int = 0

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError(f"window: is {self.window}; give pixels, at least 1")
        if not 0 <= self.overlap < self.window:
            raise ConfigError(f"overlap: is {self.overlap}; give pixels from 0 to {self.window - 1} (window - 1)")
        if not 0 <= 2 * self.margin <= self.overlap:
            raise ConfigError(
                f"margin: is {self.margin}; neighbours share {self.overlap} pixels, so it lies between 0 and "
                f"{self.overlap // 2}; raise the overlap for a wider one"
            )

    def starts(self, length: int) -> list[int]:
        """First pixel of each window on an axis of `length` pixels.

        The last window is moved back, so that it ends where the scene ends; a scene shorter than a window gets one
        window, which reaches beyond it.
        """
        last = length - self.window
        return [0] if last <= 0 else [*range(0, last, self.window - self.overlap), last]

    def weights(self, length: int) -> np.ndarray:
        """(N, K) float32: what each window counts at each of its pixels; at every pixel of the axis they sum to 1.

        A raised cosine over the overlap without the margins (terratorch's profile, half a pixel further so that it is
        never 0), flat at the ends of the axis, then divided by the sum over windows: the last two windows share more.
        """
        starts = self.starts(length)
        pixel = np.arange(self.window) + 0.5 - self.margin
        rise_K = _ramp(pixel, self.overlap - 2 * self.margin)
        profile_NK = np.ones((len(starts), self.window))
        profile_NK[1:] *= rise_K
        profile_NK[:-1] *= rise_K[::-1]
        total = np.zeros(max(length, self.window))
        for start, profile_K in zip(starts, profile_NK):
            total[start : start + self.window] += profile_K
        return np.stack([p / total[s : s + self.window] for s, p in zip(starts, profile_NK)]).astype(np.float32)


def _ramp(pixel: np.ndarray, width: int) -> np.ndarray:
    """0 before the first pixel, 1 after `width` pixels, half a cosine between."""
    if width == 0:
        return (pixel > 0).astype(float)
    return (1 - np.cos(np.pi * np.clip(pixel / width, 0, 1))) / 2
