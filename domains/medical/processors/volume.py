"""What CT and other scans have in common: the model grid, label maps on it and back, small random variations.

Shape legend: V = samples of a batch, P = planes of a sample, C = channels, S, H, W = slices, rows and columns of the
model grid (see `grid.py` for how a slice lies), X, Y, Z = the axes of a file (in the order Z, Y, X: of the canonical
scan).
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.medical.geometry import Radiograph, Units, Volume
from domains.medical.io.nifti import read_labels, write_nifti
from domains.medical.io.open import read
from domains.medical.processors import augment as vary
from domains.medical.processors.grid import (
    Grid,
    canonical,
    labels_to_grid,
    labels_to_scan,
    model_grid,
    scores_to_scan,
    to_grid,
    uncanonical,
)


class VolumeProcessor(Processor):
    """Base of the processors of scans. A subclass says what a stored value is and how it becomes channels.

    spacing: (S, H, W) mm of the model grid; None = the scan is made to fill `size`. size: (S, H, W) of the model grid;
    None = the whole scan, whatever its size (then a batch holds one scan). shift, scale, noise: the extent of random
    variations, as a share of the image, relative, and in units of the stored values.
    A sample holds `x` (S, H, W) in the subclass's stored values, `mask` (S,) bool (False: a slice beyond the scan),
    `spacing` (3,) float32 mm, and possibly `mask_<task>` (S, H, W), labels that vary together with the image.
    `planes` names what shows the scan: `x` first, and further arrays (S, H, W) of stored values that vary with it.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "volume"
    not_in_load: ClassVar[frozenset[str]] = frozenset({"shift", "scale", "noise"})
    units: ClassVar[Units]  # what values of files mean that cannot say it themselves
    air: ClassVar[float]  # the stored value outside the scan
    planes: tuple[str, ...] = ("x",)

    def __init__(
        self,
        *,
        spacing: tuple[float, float, float] | None,
        size: tuple[int, int, int] | None,
        shift: float,
        scale: float,
        noise: float,
    ) -> None:
        if spacing is None and size is None:
            raise ConfigError("spacing and size are both None; give at least one, for instance size: [24, 96, 96]")
        if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
            raise ConfigError(f"spacing: is {spacing}; give three positive numbers, mm between slices, rows, columns")
        if size is not None and (len(size) != 3 or min(size) < 1):
            raise ConfigError(f"size: is {size}; give three counts, of slices, rows, columns")
        if not (0 <= shift < 0.5 and 0 <= scale < 0.5 and noise >= 0):
            raise ConfigError(f"shift {shift} and scale {scale} are shares in [0, 0.5), noise {noise} is at least 0")
        self.spacing = None if spacing is None else tuple(spacing)
        self.size = None if size is None else tuple(size)
        self.shift, self.scale, self.noise = shift, scale, noise

    @abstractmethod
    def values(self, volume: Volume) -> np.ndarray:
        """(X, Y, Z) float32 of a scan on the scale that is resampled; raises DataError for unsuitable units."""

    @abstractmethod
    def stored(self, x_SHW: np.ndarray) -> np.ndarray:
        """Resampled values in the compact type that a sample keeps."""

    @abstractmethod
    def channels(self, x_VSHW: torch.Tensor) -> torch.Tensor:
        """(V, C, S, H, W) float32 of stored or varied values."""

    def plane(self, name: str, scan_ZYX: np.ndarray, grid: Grid) -> np.ndarray:
        """(S, H, W) of one of `planes`, from the values of a canonical scan."""
        return to_grid(scan_ZYX, grid, air=self.air)

    def plane_channels(self, planes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(V, C, S, H, W) float32 of `planes`, each (V, S, H, W); a subclass with further planes says how."""
        return self.channels(planes["x"])

    def fingerprint(self) -> str:
        # A further plane is part of what `load` stores; what shows it later is not.
        plain = super().fingerprint()
        further = " ".join(self.planes[1:])
        return hashlib.sha256(f"{plain} {further}".encode()).hexdigest()[:32] if further else plain

    def volume(self, source: Any) -> Volume:
        """The scan behind a source (see `domains.medical.io.read`); one picture counts as a scan of one slice."""
        found = read(source, units=self.units)
        return found.as_volume() if isinstance(found, Radiograph) else found

    def grid(self, volume: Volume) -> Grid:
        """The model grid of a canonical scan."""
        return model_grid(volume.shape[::-1], volume.spacing[::-1], spacing=self.spacing, size=self.size)

    def load(self, source: Any) -> Sample:
        volume = self.volume(source)
        try:
            scan = canonical(volume.changed(self.values(volume), "values"))
        except DataError as err:
            raise _named(err, source) from err
        grid, scan_ZYX = self.grid(scan), scan.array_XYZ.transpose(2, 1, 0)
        return {
            **{name: self.stored(self.plane(name, scan_ZYX, grid)) for name in self.planes},
            "mask": grid.s.inside.copy(),
            "spacing": np.array(grid.spacing, np.float32),
        }

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        """Shift and scale in the plane, whole slices along the body, then values; labels `mask_*` go along."""
        out = dict(sample)
        x_PSHW = np.stack([sample[name] for name in self.planes]).astype(np.float32) - np.float32(self.air)
        s, h, w = x_PSHW.shape[1:]
        rows, columns = (vary.axis_map(n, rng, shift=self.shift, scale=self.scale) for n in (h, w))
        slices = np.arange(s) + round(rng.uniform(-self.shift, self.shift) * s)
        x_PSHW = np.matmul(vary.linear_weights(rows, h), x_PSHW)
        x_PSHW = (x_PSHW.reshape(-1, w) @ vary.linear_weights(columns, w).T).reshape(-1, s, h, w)
        source = vary.nearest_index(slices, s)
        x_PSHW, out["mask"] = x_PSHW[:, source], sample["mask"][source] & (source >= 0)
        x_PSHW[:, source < 0] = 0
        out.update(zip(self.planes, self.vary_values(x_PSHW + np.float32(self.air), rng), strict=True))
        index = np.ix_(source, vary.nearest_index(rows, h), vary.nearest_index(columns, w))
        outside = (index[0] < 0) | (index[1] < 0) | (index[2] < 0)
        for name in (name for name in sample if name.startswith("mask_")):
            out[name] = np.where(outside, np.int16(-1), sample[name].astype(np.int16)[index])
        return out

    def vary_values(self, x_PSHW: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Random variation of the values (P, S, H, W), the same for all planes; may write into them.

        By default noise on `x` alone: it stands for what averaging leaves of a scanner's noise. A further plane that
        picks extremes holds that noise in full already, and its effect there is a bias, which zero-mean noise is not.
        """
        if self.noise > 0:
            x_PSHW[0] += vary.noise(x_PSHW.shape[1:], self.noise, rng)
        return x_PSHW

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        shapes = {sample["x"].shape for sample in samples}
        if len(shapes) > 1:
            raise ConfigError(f"scans of sizes {sorted(shapes)} cannot share a batch; set size, or use batches of one")
        planes = {n: torch.from_numpy(np.stack([np.asarray(s[n], np.float32) for s in samples])) for n in self.planes}
        mask_VS = torch.from_numpy(np.stack([s["mask"] for s in samples]))
        spacing_V3 = torch.from_numpy(np.stack([s["spacing"] for s in samples]))
        return ModalityInput(self.plane_channels(planes), None if mask_VS.all() else mask_VS, {"spacing": spacing_V3})

    def load_mask(self, path: Path, source: Any) -> np.ndarray:
        """Labels of `source` on the model grid, (S, H, W) int16 by nearest neighbour; -1 outside the scan.

        Raises DataError unless the label map has the scan's shape and, within 0.01 mm, its affine.
        """
        labels, volume = read_labels(path), self.volume(source)
        if not labels.same_grid(volume):
            raise DataError(
                f"{path}: its grid is {labels.shape} voxels of {_mm(labels)} mm, the scan's is {volume.shape} of "
                f"{_mm(volume)} mm, or their positions differ; resample the labels onto the scan"
            )
        return self.labels_on_grid(labels)

    def labels_on_grid(self, labels: Volume) -> np.ndarray:
        """Labels that lie on a scan's grid on the model grid of that scan, (S, H, W) int16."""
        turned = canonical(labels)
        return labels_to_grid(turned.array_XYZ.transpose(2, 1, 0), self.grid(turned))

    def to_input_grid(self, labels_SHW: np.ndarray, volume: Volume) -> np.ndarray:
        """Labels on the model grid back on the scan's own: (X, Y, Z) of `volume`, for `write_nifti` with its affine.

        Nearest neighbour; 0 where the model grid does not reach.
        """
        turned = canonical(volume)
        grid = self.grid(turned)
        if labels_SHW.shape != grid.shape:
            raise DataError(f"labels have shape {labels_SHW.shape}, the model grid of this scan is {grid.shape}")
        back_ZYX = labels_to_scan(labels_SHW, grid)
        return np.ascontiguousarray(uncanonical(back_ZYX.transpose(2, 1, 0), volume))

    label_suffix: ClassVar[str] = ".nii.gz"

    def read_labels(self, path: Path) -> tuple[np.ndarray, tuple[float, ...]]:
        """Labels of a file, (X, Y, Z) int32 on its own grid, and its spacing in mm."""
        labels = read_labels(path)
        return labels.array_XYZ.astype(np.int32), labels.spacing

    def labels_to_source(self, labels: np.ndarray, source: Any) -> np.ndarray:
        """(X, Y, Z) on the scan's own grid, from labels (S, H, W) or scores (G, S, H, W) on the model grid."""
        volume = self.volume(source)
        if labels.ndim == 3:
            return self.to_input_grid(labels, volume)
        grid = self.grid(canonical(volume))
        if labels.shape[1:] != grid.shape:
            raise DataError(f"scores have shape {labels.shape[1:]}, the model grid of this scan is {grid.shape}")
        back_ZYX = scores_to_scan(labels, grid)
        return np.ascontiguousarray(uncanonical(back_ZYX.transpose(2, 1, 0), volume))

    def write_labels(self, labels: np.ndarray, source: Any, path: Path) -> None:
        """Write labels (X, Y, Z) as NIfTI with the affine of the scan."""
        volume = self.volume(source)
        if labels.shape != volume.shape:
            raise DataError(f"{path}: labels have shape {labels.shape}, the scan has {volume.shape}")
        write_nifti(path, labels, volume.affine)


def _named(err: DataError, source: Any) -> DataError:
    """The error with the file's name in front, when the source has one."""
    path = getattr(source, "path", source)
    return DataError(f"{path}: {err}") if isinstance(path, (str, Path)) and str(path) not in str(err) else err


def _mm(volume: Volume) -> str:
    return " x ".join(f"{mm:.4g}" for mm in volume.spacing)
