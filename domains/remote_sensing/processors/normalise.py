"""From values in their unit to what a model reads, and back; means and deviations are stated, or learned and saved.

Shape legend: V = samples of a batch, C = bands, H, W = rows and columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from core.errors import CheckpointError, ConfigError
from core.files import write_atomic
from domains.remote_sensing.bands import BandSpec, mismatch
from domains.remote_sensing.statistics import published

# zscore: (value - mean) / deviation. two_deviations: mean - 2 deviations to mean + 2 deviations becomes [0, 1], clipped
# (SSL4EO-S12, CromSS, CROMA). range: low to high becomes [0, 1], clipped. none: the value in its unit.
Normalise = Literal["zscore", "two_deviations", "range", "none"]
BANDS_FILE = "bands.json"


class Normalisation:
    """One way of scaling the bands of `spec`. statistics: "fit", or the name of published ones; low, high: of "range".

    Raises ConfigError for statistics that do not fit the bands.
    """

    def __init__(self, spec: BandSpec, *, method: Normalise, statistics: str, low: float, high: float) -> None:
        if not high > low:
            raise ConfigError(f"low {low} and high {high}: high is larger")
        self.spec, self.method, self.low, self.high = spec, method, low, high
        self.needs_statistics = method in ("zscore", "two_deviations")
        self.learns = self.needs_statistics and statistics == "fit"
        self._known: tuple[list[float], list[float]] | None = None
        if self.needs_statistics and not self.learns:
            self._known = published(statistics).of(spec)

    def apply(self, values_VCHW: Tensor) -> Tensor:
        """Values in the unit of `spec`, (..., C, H, W), as the model reads them."""
        if self.method == "none":
            return values_VCHW
        if self.method == "range":
            return ((values_VCHW - self.low) / (self.high - self.low)).clamp_(0, 1)
        mean_C11, deviation_C11 = self._tensors()
        scaled = (values_VCHW - mean_C11) / deviation_C11
        return scaled if self.method == "zscore" else scaled.mul_(0.25).add_(0.5).clamp_(0, 1)

    def undo(self, x_VCHW: Tensor) -> Tensor:
        """The inverse of `apply`, as far as nothing was clipped: model input in the unit of `spec`."""
        if self.method == "none":
            return x_VCHW
        if self.method == "range":
            return x_VCHW * (self.high - self.low) + self.low
        mean_C11, deviation_C11 = self._tensors()
        return (x_VCHW if self.method == "zscore" else (x_VCHW - 0.5) * 4) * deviation_C11 + mean_C11

    def learn(self, samples: Iterable[np.ndarray], *, smallest: float) -> bool:
        """Mean and deviation of each band over samples (C, H, W) with nan where missing; False when there is no value.

        smallest: a deviation below it belongs to a constant band, which is only centred.
        """
        count, total, squares = (np.zeros(len(self.spec)) for _ in range(3))
        for values_CHW in samples:
            known_CHW = np.isfinite(values_CHW)
            filled_CHW = np.where(known_CHW, values_CHW, 0).astype(np.float64)
            count += known_CHW.sum(axis=(1, 2))
            total += filled_CHW.sum(axis=(1, 2))
            squares += (filled_CHW**2).sum(axis=(1, 2))
        if not count.any():
            return False
        mean = total / np.maximum(count, 1)
        deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
        self._known = mean.tolist(), np.where(deviation > smallest, deviation, 1.0).tolist()
        return True

    def _tensors(self) -> tuple[Tensor, Tensor]:
        if self._known is None:
            raise ConfigError(
                "the processor has no means and deviations yet; call fit(sources) or restore(folder), or name "
                "published ones (statistics)"
            )
        mean, deviation = (torch.tensor(row, dtype=torch.float32)[:, None, None] for row in self._known)
        return mean, deviation

    def save(self, folder: Path) -> None:
        """Write the bands, and mean and deviation where there are any: what the weights were trained on."""
        content: dict[str, Any] = {"spec": self.spec.to_dict(), "normalise": self.method}
        if self._known is not None:
            content |= {"mean": self._known[0], "deviation": self._known[1]}
        write_atomic(Path(folder) / BANDS_FILE, json.dumps(content, indent=1), error=CheckpointError)

    def restore(self, folder: Path) -> None:
        """Read what `save` wrote. Raises CheckpointError, with both orders, when the weights belong to other bands."""
        path = Path(folder) / BANDS_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            spec = BandSpec.from_dict(content["spec"])
            rows = [[float(value) for value in content.get(key, ())] for key in ("mean", "deviation")]
        except FileNotFoundError as err:
            raise CheckpointError(
                f"{path}: is missing; it says which bands the weights belong to, copy it again"
            ) from err
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as err:
            raise CheckpointError(f"{path}: not a readable band specification ({err}); copy it again") from err
        if spec != self.spec:
            raise CheckpointError(f"{path}: {mismatch(self.spec, spec, 'these weights were trained on other bands')}")
        if self.needs_statistics and {len(row) for row in rows} != {len(spec)}:
            raise CheckpointError(f"{path}: holds no mean and deviation for each of {len(spec)} bands; copy it again")
        if self.needs_statistics:
            self._known = rows[0], rows[1]
