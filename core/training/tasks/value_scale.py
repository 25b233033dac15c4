"""Quantities between their own units and the scale a head is trained on. Shape legend: N = records, Q = quantities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import DataError


class ValueScale:
    """Quantities as a head is trained on them: the logarithm of 1 + value where it says so, then mean 0, deviation 1.

    mean, deviation: of each quantity after its logarithm. log: which of them have one.
    """

    def __init__(self, *, mean: Sequence[float], deviation: Sequence[float], log: Sequence[bool]) -> None:
        self.mean, self.deviation, self.log = list(mean), list(deviation), list(log)

    @classmethod
    def learned(cls, values_NQ: NDArray[np.float64], names: Sequence[str], log: Sequence[str]) -> ValueScale:
        """From training values, nan = unknown. Raises DataError for a quantity that is nowhere known, or, with a
        logarithm, below 0."""
        mean, deviation = [], []
        for name, column in zip(names, values_NQ.T, strict=True):
            known = column[np.isfinite(column)]
            if not len(known):
                raise DataError(f"task: no training record has a value of '{name}'; leave it out of task.quantities")
            if name in log and known.min() < 0:
                raise DataError(f"task.log: '{name}' is {known.min():g} somewhere; a logarithm needs values from 0 on")
            scaled = np.log1p(known) if name in log else known
            mean.append(float(scaled.mean()))
            deviation.append(float(scaled.std()) or 1.0)
        return cls(mean=mean, deviation=deviation, log=[name in log for name in names])

    def apply(self, values: Tensor) -> Tensor:
        """(..., Q) in their units -> (..., Q) as the head is trained on them; nan stays nan."""
        columns = [v.log1p() if log else v for v, log in zip(values.unbind(-1), self.log, strict=True)]
        return (torch.stack(columns, -1) - values.new_tensor(self.mean)) / values.new_tensor(self.deviation)

    def undo(self, scaled: Tensor) -> Tensor:
        """The inverse of `apply`."""
        values = scaled * scaled.new_tensor(self.deviation) + scaled.new_tensor(self.mean)
        columns = [v.expm1() if log else v for v, log in zip(values.unbind(-1), self.log, strict=True)]
        return torch.stack(columns, -1)
