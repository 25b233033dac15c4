"""Rasters to model input: bands by name, one unit, normalised in a stated way, with a validity mask.

Shape legend: V = samples of a batch, C = bands, H, W = rows and columns of the sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.remote_sensing.bands import Unit
from domains.remote_sensing.io.labels import read_label_map
from domains.remote_sensing.io.open import read
from domains.remote_sensing.io.resample import Resampling
from domains.remote_sensing.processors.geometry import Variation, centred, cropped, turned
from domains.remote_sensing.processors.normalise import Normalisation, Normalise
from domains.remote_sensing.processors.sample_grid import SampleGrid
from domains.remote_sensing.raster import Raster, Transform, pixel_metres, pixel_size
from domains.remote_sensing.sensors import preset, with_baseline
from domains.remote_sensing.units import convert

# One step of the 16 bits that a sample keeps, in its unit: a tenth of what a sensor resolves
QUANTUM: dict[Unit, float] = {"reflectance": 1e-4, "db": 0.01, "intensity": 1e-4, "metre": 0.5, "kelvin": 0.01}
MISSING = -32768
FITTED_ON = 64  # records that means and deviations are learned from


class RasterProcessor(Processor):
    """Bands of one sensor, normalised; missing pixels are 0 after it, and False in `valid`.

    sensor: name of a preset (`domains.remote_sensing.sensors`). bands: of the preset, in this order; None = all.
    baseline: Sentinel-2 processing baseline of files that are given as paths, such as "05.10" ("": no offset).
    size: rows and columns of a sample: the middle of the tile, or the tile with missing pixels around it; None = whole.
    pixel: side of a pixel in units of the CRS; None = that of the finest band. resampling: see `io.resample`.
    missing: what a band that a file lacks does: "error", or "zero", which stands for the mean.
    normalise, statistics, low, high: see `processors.normalise`; statistics is "fit" (learned from the training split,
    and saved) or the name of published ones. crop: side of the random square that training sees; None = all of it.
    crop_step: its corner lies on multiples of so many pixels (10 m bands beside 60 m bands: 6). flip, rotate: mirror
    images and quarter turns in training; a mirrored radar image looks from the other side.
    gain, shift: largest random relative change, and shift in the unit, of all values in training.
    of: the modality whose rasters are read, where it is not the own one (other bands of one product); statistics are
    published ones then, as nothing is learned from another modality's files.
    A sample holds `x` (C, H, W) int16 in steps of QUANTUM, `lonlat` (2,) float64 degrees, `day` () float32 of the year
    (both nan when unknown), and in training `gain` and `shift` (). collate: x (V, C, H, W) float32, extra `valid`
    (V, H, W) bool, `lonlat`, `day`.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "image"
    not_in_load: ClassVar[frozenset[str]] = frozenset(
        {"normalise", "statistics", "low", "high", "crop", "crop_step", "flip", "rotate", "gain", "shift", "of"}
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
        self.normalisation = Normalisation(self.spec, method=normalise, statistics=statistics, low=low, high=high)
        if of and self.normalisation.learns:
            raise ConfigError(
                f"statistics: nothing is learned from the files of '{of}'; name published ones, for instance ssl4eo_s2a"
            )

    def _check(self) -> None:
        if self.spec.unit not in QUANTUM:
            raise ConfigError(f"sensor: '{self.sensor}' is in {self.spec.unit}; models read {', '.join(QUANTUM)}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ConfigError(f"size: is {self.size}; give rows and columns")
        if self.crop_step < 1 or (self.crop is not None and self.crop < 1):
            raise ConfigError(f"crop {self.crop} and crop_step {self.crop_step} are counts of pixels, at least 1")
        if self.crop is not None and self.size is not None and self.crop > min(self.size):
            raise ConfigError(f"crop: is {self.crop}, larger than the sample of {self.size[0]} x {self.size[1]} pixels")
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
        return {**sample, "gain": np.array(1 + gain, np.float32), "shift": np.array(shift, np.float32)}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        shapes = {sample["x"].shape[1:] for sample in samples}
        if len(shapes) > 1:
            raise ConfigError(f"tiles of sizes {sorted(shapes)} cannot share a batch; set size, or crop")
        steps_VCHW = torch.from_numpy(np.stack([sample["x"] for sample in samples]))
        values_VCHW = steps_VCHW * self._varied("gain", 1.0, samples).mul_(self.quantum)
        if self.shift > 0:
            values_VCHW += self._varied("shift", 0.0, samples)
        x_VCHW = self.normalisation.apply(values_VCHW)
        if int(steps_VCHW.min()) > MISSING:  # most batches: four passes over them are spared
            valid_VHW = torch.ones(len(samples), *steps_VCHW.shape[2:], dtype=torch.bool)
        else:
            valid_VHW = self._masked(x_VCHW, steps_VCHW == MISSING)
        extra = {"valid": valid_VHW}
        for name, dtype in (("lonlat", np.float64), ("day", np.float32)):
            extra[name] = torch.from_numpy(np.stack([np.asarray(sample[name], dtype) for sample in samples]))
        return ModalityInput(x_VCHW, None, extra)

    def _masked(self, x_VCHW: torch.Tensor, missing_VCHW: torch.Tensor) -> torch.Tensor:
        """(V, H, W) bool where every band was recorded; what was not becomes 0 in `x_VCHW`."""
        x_VCHW.masked_fill_(missing_VCHW, 0)
        if self.missing == "zero":  # a band that no file has makes no pixel invalid: it is absent, not unrecorded
            absent_VC = missing_VCHW.flatten(2).all(dim=2) & ~missing_VCHW.flatten(1).all(dim=1)[:, None]
            missing_VCHW &= ~absent_VC[:, :, None, None]
        return ~missing_VCHW.any(dim=1)

    @staticmethod
    def _varied(name: str, default: float, samples: Sequence[Mapping[str, np.ndarray]]) -> torch.Tensor:
        """(V, 1, 1, 1) what `augment` drew for each sample, or the default."""
        return torch.tensor([float(sample.get(name, default)) for sample in samples])[:, None, None, None]

    def values(self, x_VCHW: torch.Tensor) -> torch.Tensor:
        """Model input (..., C, H, W) in the unit of `spec`, as far as nothing was clipped."""
        return self.normalisation.undo(x_VCHW)

    def shown(self, x: np.ndarray) -> np.ndarray:
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

    def fit(self, sources: Iterable[Any]) -> None:
        """Learn mean and deviation of each band from up to 64 evenly spaced training sources."""
        if not self.normalisation.learns:
            return
        everything, faults = list(sources), []
        count = min(FITTED_ON, len(everything))
        chosen = [everything[int(i)] for i in np.linspace(0, len(everything), count, endpoint=False)]

        def samples() -> Iterator[np.ndarray]:
            for source in chosen:
                try:
                    x_CHW = self.load(source)["x"]
                except DataError as err:  # the bad-record policy will meet it again and decide
                    faults.append(err)
                else:
                    yield np.where(x_CHW == MISSING, np.nan, x_CHW * np.float32(self.quantum))

        if not self.normalisation.learn(samples(), smallest=10 * self.quantum):
            last = faults[-1] if faults else "the split is empty"
            raise DataError(f"no raster of the training split can be read to learn means from; the last fault: {last}")

    def save(self, folder: Path) -> None:
        self.normalisation.save(folder)

    def restore(self, folder: Path) -> None:
        self.normalisation.restore(folder)

    def grid(self, source: Any) -> SampleGrid:
        """Where the pixels of the sample of a source lie."""
        return SampleGrid.of(source, self.stored, pixel=self.pixel, size=self.size)

    def load_mask(self, path: Any, source: Any) -> np.ndarray:
        """Label map of `source` on its sample, (H, W) int16, nearest neighbour; -1 where not labelled.

        path: a Path or a LabelSource. Raises DataError when the labels lie elsewhere.
        """
        return self.grid(source).labels(path)

    label_suffix: ClassVar[str] = ".tif"

    def read_labels(self, path: Any) -> tuple[np.ndarray, tuple[float, ...]]:
        """Labels (H, W) of a file on its own grid, -1 = not labelled, and the height and width of a pixel: metres, or
        units of the CRS where it has none."""
        found = read_label_map(path)
        size = pixel_size(found.transform) if not found.crs else _metres(found.crs, found.transform)
        return found.labels_HW.astype(np.int32), size

    def labels_to_source(self, labels: np.ndarray, source: Any) -> np.ndarray:
        """(H, W) on the raster's own grid, from labels (H, W) or scores (G, H, W) on the sample."""
        return self.grid(source).back(labels)

    def write_labels(self, labels: np.ndarray, source: Any, path: Path) -> None:
        """Write labels (H, W) as a GeoTIFF with the raster's CRS and transform."""
        self.grid(source).write(labels, path)


def day_of_year(date: str) -> float:
    """1 to 366 of an ISO date; nan for none."""
    import datetime

    return float(datetime.date.fromisoformat(date[:10]).timetuple().tm_yday) if date else float("nan")


def _metres(crs: str, transform: Transform) -> tuple[float, float]:
    try:
        return pixel_metres(crs, transform)
    except DataError:  # degrees
        return pixel_size(transform)
