"""What finds matches in a window: the trained matcher, or phase correlation, which gives one.

Shape legend: S = side of a window. Points are (x, y), whole numbers at pixel centres.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from domains.remote_sensing.registration.decode import match
from domains.remote_sensing.registration.matcher import LoFTRMatcher
from domains.remote_sensing.registration.phase import phase_shift


class Voter(Protocol):
    """Matches of two grey windows in [0, 1]."""

    name: str

    def __call__(
        self, moving_SS: np.ndarray, fixed_SS: np.ndarray, moving_known_SS: np.ndarray, fixed_known_SS: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) points of the moving window and of the fixed one."""
        ...


class MatcherVoter:
    """Matches of a LoFTRMatcher. coarse: least probability of a match; border: cells left out at the edge."""

    name = "matcher"

    def __init__(self, matcher: LoFTRMatcher, *, coarse: float = 0.2, border: int = 1) -> None:
        self.matcher, self.coarse, self.border = matcher.eval(), coarse, border

    def __call__(
        self, moving_SS: np.ndarray, fixed_SS: np.ndarray, moving_known_SS: np.ndarray, fixed_known_SS: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        device = next(self.matcher.parameters()).device
        pictures = [torch.from_numpy(x).float()[None, None].to(device) for x in (moving_SS, fixed_SS)]
        known = [torch.from_numpy(k)[None].to(device) for k in (moving_known_SS, fixed_known_SS)]
        found = match(self.matcher, *pictures, *known, threshold=self.coarse, border=self.border)
        return found.first_M2.double().cpu().numpy(), found.second_M2.double().cpu().numpy()


class PhaseVoter:
    """One match for a window: its middle, displaced as its phase correlation says."""

    name = "phase_correlation"

    def __call__(
        self, moving_SS: np.ndarray, fixed_SS: np.ndarray, moving_known_SS: np.ndarray, fixed_known_SS: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        offset = phase_shift(moving_SS, fixed_SS, moving_known_SS, fixed_known_SS)
        if not np.isfinite(offset).all():
            return np.zeros((0, 2)), np.zeros((0, 2))
        middle = np.array([[(n - 1) / 2 for n in moving_SS.shape[::-1]]])
        return middle, middle + offset
