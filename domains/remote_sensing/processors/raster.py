"""Rasters to model input: bands by name, one unit, normalised in a stated way, with a validity mask.

Shape legend: V = samples of a batch, C = bands, H, W = rows and columns of the sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.errors import CheckpointError, ConfigError, DataError
from core.files import write_atomic
from core.types import ModalityInput
from domains.remote_sensing.bands import BandSpec, Unit, mismatch
from domains.remote_sensing.io.labels import onto_grid, read_label_map
from domains.remote_sensing.io.open import grid, read
from domains.remote_sensing.io.resample import Resampling
from domains.remote_sensing.processors.geometry import Variation, centred, cropped, turned
from domains.remote_sensing.raster import Raster
from domains.remote_sensing.sensors import preset, with_baseline
from domains.remote_sensing.statistics import published
from domains.remote_sensing.units import convert

# One step of the 16 bits that a sample keeps, in its unit: a tenth of what a sensor resolves
QUANTUM: dict[Unit, float] = {"reflectance": 1e-4, "db": 0.01, "intensity": 1e-4, "metre": 0.5, "kelvin": 0.01}
MISSING = -32768
BANDS_FILE = "bands.json"
FITTED_ON = 64  # records that means and deviations are learned from
# zscore: (value - mean) / deviation. two_deviations: mean - 2 deviations to mean + 2 deviations becomes [0, 1], clipped
# (SSL4EO-S12, CromSS, CROMA). range: low to high becomes [0, 1], clipped. none: the value in its unit.
Normalise = Literal["zscore", "two_deviations", "range", "none"]


class RasterProcessor(Processor):
    """Bands of one sensor, normalised; missing pixels are 0 after it, and False in `valid`.

    sensor: name of a preset (`domains.remote_sensing.sensors`). bands: of the preset, in this order; None = all.
    baseline: Sentinel-2 processing baseline of files that are given as paths, such as "05.10" ("": no offset).
    size: rows and columns of a sample: the middle of the tile, or the tile with missing pixels around it; None = whole.
    pixel: side of a pixel in units of the CRS; None = that of the finest band. resampling: see `io.resample`.
    missing: what a band that a file lacks does: "error", or "zero", which stands for the mean.
    normalise, statistics, low, high: see `Normalise`; statistics is "fit" (learned from the training split, and saved)
    or the name of published ones. crop: side of the random square that training sees; None = all of the sample.
    crop_step: its corner lies on multiples of so many pixels (10 m bands beside 60 m bands: 6). flip, rotate: mirror
    images and quarter turns in training; a mirrored radar image looks from the other side.
    gain, shift: largest random relative change, and shift in the unit, of all values in training.
    of: the modality whose rasters are read, where it is not the own one (other bands of one product); statistics are
    published ones then, as nothing is learned from another modality's files.
    A sample holds `x` (C, H, W) int16 in steps of QUANTUM, `lonlat` (2,) float64 degrees, `day` () float32 of the year
    (both nan when unknown). collate: x (V, C, H, W) float32, extra `valid` (V, H, W) bool, `lonlat`, `day`.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text"]] = "image"
    not_in_load: ClassVar[frozenset[str]] = frozenset(
        {"normalise", "statistics", "low", "high", "crop", "crop_step", "flip", "rotate", "gain", "shift"}
    )

    def __init__(
        self,
        *,
        sensor: str,
        bands: tuple[str, ...] | None = None,
        baseline: str = "",
        size: tuple[int, int] | None = None,
        pixel: float | None = None,
        resampling: Resampling = "auto",
        missing: Literal["error", "zero"] = "error",
        normalise: Normalise = "zscore",
        statistics: str = "fit",
        low: float = 0.0,
        high: float = 1.0,
        crop: int | None = None,
        crop_step: int = 1,
        flip: bool = True,
        rotate: bool = True,
        gain: float = 0.0,
        shift: float = 0.0,
        of: str = "",
    ) -> None:
        self.sensor, self.bands, self.baseline = sensor, None if bands is None else tuple(bands), baseline
        self.size, self.pixel, self.resampling, self.missing = (
            None if size is None else (int(size[0]), int(size[1])),
            pixel,
            resampling,
            missing,
        )
        self.normalise, self.statistics, self.low, self.high = normalise, statistics, low, high
        self.crop, self.crop_step, self.flip, self.rotate = crop, crop_step, flip, rotate
        self.gain, self.shift, self.of = gain, shift, of
        stored = preset(sensor)
        self.stored = with_baseline(stored, baseline) if baseline else stored
        self.spec = preset(sensor, bands).as_values()
        self._check()
        self._statistics: tuple[list[float], list[float]] | None = None
        if self._needs_statistics and statistics != "fit":
            self._statistics = published(statistics).of(self.spec)

    def _check(self) -> None:
        if self.spec.unit not in QUANTUM:
            raise ConfigError(f"sensor: '{self.sensor}' is in {self.spec.unit}; models read {', '.join(QUANTUM)}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ConfigError(f"size: is {self.size}; give rows and columns")
        if self.crop_step < 1 or (self.crop is not None and self.crop < 1):
            raise ConfigError(f"crop {self.crop} and crop_step {self.crop_step} are counts of pixels, at least 1")
        if self.crop is not None and self.size is not None and self.crop > min(self.size):
            raise ConfigError(f"crop: is {self.crop}, larger than the sample of {self.size[0]} x {self.size[1]} pixels")
        if not self.high > self.low:
            raise ConfigError(f"low {self.low} and high {self.high}: high is larger")
        if not (0 <= self.gain < 1 and self.shift >= 0):
            raise ConfigError(f"gain {self.gain} is a share in [0, 1), shift {self.shift} is at least 0")

    @property
    def channels(self) -> int:
        """Channels of the model input: one per band."""
        return len(self.spec)

    @property
    def quantum(self) -> float:
        return QUANTUM[self.spec.unit]

    def load(self, source: Any) -> Sample:
        raster = self.raster(source)
        where = str(getattr(source, "path", source)) if not isinstance(source, Raster) else "raster"
        values_CHW = convert(
            raster.values_CHW,
            raster.spec,
            self.spec,
            missing="error" if self.missing == "error" else "nan",
            where=where,
        )
        steps_CHW = np.clip(np.rint(values_CHW / np.float32(self.quantum)), MISSING + 1, -MISSING - 1)
        x_CHW = np.where(np.isfinite(values_CHW), steps_CHW, MISSING).astype(np.int16)
        return {
            "x": x_CHW if self.size is None else centred(x_CHW, self.size, MISSING),
            "lonlat": np.array(raster.lonlat(), np.float64),
            "day": np.array(day_of_year(raster.time), np.float32),
        }

    def raster(self, source: Any) -> Raster:
        """The raster behind a source (see `domains.remote_sensing.io.read`), in its own bands."""
        return read(source, self.stored, resampling=self.resampling, pixel=self.pixel)

    def augment_jointly(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        """Crop, mirror and turn the picture and its label maps."""
        variation = Variation.draw(rng)
        out = dict(sample)
        for name in ("x", *(name for name in sample if name.startswith("mask_"))):
            array = sample[name]
            if self.crop is not None:
                array = cropped(array, variation, self.crop, self.crop_step)
            out[name] = np.ascontiguousarray(turned(array, variation, flip=self.flip, rotate=self.rotate))
        return out

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        """A relative change and a shift of all values, as calibration and atmosphere make them."""
        gain, shift = (float(rng.uniform(-most, most)) for most in (self.gain, self.shift))
        if gain == 0 and shift == 0:
            return dict(sample)
        x_CHW = sample["x"]
        varied = np.clip(
            np.rint(x_CHW * np.float32(1 + gain) + np.float32(shift / self.quantum)), MISSING + 1, -MISSING - 1
        )
        return {**sample, "x": np.where(x_CHW == MISSING, MISSING, varied).astype(np.int16)}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        shapes = {sample["x"].shape[1:] for sample in samples}
        if len(shapes) > 1:
            raise ConfigError(f"tiles of sizes {sorted(shapes)} cannot share a batch; set size, or crop")
        steps_VCHW = torch.from_numpy(np.stack([sample["x"] for sample in samples]))
        missing_VCHW = steps_VCHW == MISSING
        x_VCHW = self.normalised(steps_VCHW * torch.tensor(self.quantum, dtype=torch.float32))
        x_VCHW.masked_fill_(missing_VCHW, 0)
        known_VCHW = ~missing_VCHW
        # a band that no file has (missing: zero) makes no pixel invalid: it is absent, not unrecorded
        absent_VC = missing_VCHW.flatten(2).all(dim=2) & ~missing_VCHW.flatten(1).all(dim=1)[:, None]
        extra = {"valid": (known_VCHW | absent_VC[:, :, None, None]).all(dim=1)}
        for name, dtype in (("lonlat", np.float64), ("day", np.float32)):
            extra[name] = torch.from_numpy(np.stack([np.asarray(sample[name], dtype) for sample in samples]))
        return ModalityInput(x_VCHW, None, extra)

    def normalised(self, values_VCHW: torch.Tensor) -> torch.Tensor:
        """Values in the unit of `spec`, (..., C, H, W), as the model reads them."""
        if self.normalise == "none":
            return values_VCHW
        if self.normalise == "range":
            return ((values_VCHW - self.low) / (self.high - self.low)).clamp_(0, 1)
        mean_C11, deviation_C11 = (
            torch.tensor(v, dtype=torch.float32)[:, None, None] for v in self._known_statistics()
        )
        scaled = (values_VCHW - mean_C11) / deviation_C11
        return scaled if self.normalise == "zscore" else scaled.mul_(0.25).add_(0.5).clamp_(0, 1)

    def values(self, x_VCHW: torch.Tensor) -> torch.Tensor:
        """The inverse of `normalised`, as far as nothing was clipped: model input in the unit of `spec`."""
        if self.normalise == "none":
            return x_VCHW
        if self.normalise == "range":
            return x_VCHW * (self.high - self.low) + self.low
        mean_C11, deviation_C11 = (
            torch.tensor(v, dtype=torch.float32)[:, None, None] for v in self._known_statistics()
        )
        scaled = x_VCHW if self.normalise == "zscore" else (x_VCHW - 0.5) * 4
        return scaled * deviation_C11 + mean_C11

    def picture(self, x: np.ndarray) -> np.ndarray:
        """True colour where red, green and blue are among the bands; VV, VH and their difference for radar; else grey.
        Each channel from its 2nd to its 98th percentile."""
        names = self.spec.names
        if {"B02", "B03", "B04"} <= set(names):
            x_CHW = np.stack([x[names.index(name)] for name in ("B04", "B03", "B02")])
        elif {"VV", "VH"} <= set(names):
            vv, vh = x[names.index("VV")], x[names.index("VH")]
            x_CHW = np.stack([vv, vh, vv - vh])
        else:
            x_CHW = np.repeat(x.mean(axis=0, keepdims=True), 3, axis=0)
        low, high = np.percentile(x_CHW, [2, 98], axis=(1, 2))[:, :, None, None]
        share_CHW = np.clip((x_CHW - low) / np.maximum(high - low, 1e-12), 0, 1)
        return np.ascontiguousarray(np.round(share_CHW * 255).astype(np.uint8).transpose(1, 2, 0))

    @property
    def _needs_statistics(self) -> bool:
        return self.normalise in ("zscore", "two_deviations")

    def _known_statistics(self) -> tuple[list[float], list[float]]:
        if self._statistics is None:
            raise ConfigError(
                f"{type(self).__name__} has no means and deviations yet; call fit(sources) or restore(folder), or name "
                "published ones (statistics)"
            )
        return self._statistics

    def fit(self, sources: Iterable[Any]) -> None:
        """Learn mean and deviation of each band from up to 64 evenly spaced training sources."""
        if not self._needs_statistics or self.statistics != "fit":
            return
        everything = list(sources)
        chosen = [
            everything[int(i)] for i in np.linspace(0, len(everything), min(FITTED_ON, len(everything)), endpoint=False)
        ]
        count, total, squares = (np.zeros(len(self.spec)) for _ in range(3))
        fault: DataError | None = None
        for source in chosen:
            try:
                x_CHW = self.load(source)["x"]
            except DataError as err:  # the bad-record policy will meet it again and decide
                fault = err
                continue
            known_CHW = x_CHW != MISSING
            values_CHW = np.where(known_CHW, x_CHW.astype(np.float64) * self.quantum, 0)
            count += known_CHW.sum(axis=(1, 2))
            total += values_CHW.sum(axis=(1, 2))
            squares += (values_CHW**2).sum(axis=(1, 2))
        if not count.any():
            raise DataError(f"no raster of the training split can be read to learn means from; the last fault: {fault}")
        mean = total / np.maximum(count, 1)
        deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
        smallest = 10 * self.quantum
        self._statistics = mean.tolist(), np.where(deviation > smallest, deviation, 1.0).tolist()

    def save(self, folder: Path) -> None:
        content: dict[str, Any] = {"spec": self.spec.to_dict(), "normalise": self.normalise}
        if self._statistics is not None:
            content |= {"mean": self._statistics[0], "deviation": self._statistics[1]}
        write_atomic(Path(folder) / BANDS_FILE, json.dumps(content, indent=1), error=CheckpointError)

    def restore(self, folder: Path) -> None:
        path = Path(folder) / BANDS_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            spec = BandSpec.from_dict(content["spec"])
            found = (
                (list(map(float, content["mean"])), list(map(float, content["deviation"])))
                if "mean" in content
                else None
            )
        except FileNotFoundError as err:
            raise CheckpointError(
                f"{path}: is missing; it says which bands the weights belong to, copy it again"
            ) from err
        except (ValueError, KeyError, TypeError, ConfigError) as err:
            raise CheckpointError(f"{path}: not a readable band specification ({err}); copy it again") from err
        if spec != self.spec:
            raise CheckpointError(f"{path}: {mismatch(self.spec, spec, 'these weights were trained on other bands')}")
        if self._needs_statistics and (found is None or {len(found[0]), len(found[1])} != {len(spec)}):
            raise CheckpointError(f"{path}: holds no mean and deviation for each of {len(spec)} bands; copy it again")
        self._statistics = found

    def load_mask(self, path: Any, source: Any) -> np.ndarray:
        """Label map of `source` on the grid of its sample, (H, W) int16, nearest neighbour; -1 where not labelled.

        path: a Path or a LabelSource. Raises DataError when the labels lie elsewhere.
        """
        transform, shape, crs = grid(source, self.stored, pixel=self.pixel)
        labels = read_label_map(path)
        try:
            labels_HW = onto_grid(labels, transform, shape, crs)
        except DataError as err:
            raise DataError(f"{getattr(path, 'path', path)}: {err}") from None
        return labels_HW if self.size is None else centred(labels_HW, self.size, -1)


def day_of_year(date: str) -> float:
    """1 to 366 of an ISO date; nan for none."""
    import datetime

    return float(datetime.date.fromisoformat(date[:10]).timetuple().tm_yday) if date else float("nan")
