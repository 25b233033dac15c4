"""Large rasters of one's own as windows: a folder as `folder_geotiff` reads it, cut up and drawn from.

A scene of 10,980 x 10,980 pixels is no training sample. Here records are windows of it that lie in a grid, as many of
each raster as `listed`: what validation, tests, probes and learned statistics use. Training draws windows at random
places, new ones in every epoch, in an order in which neighbours share decoded blocks (see
`domains.remote_sensing.windows.plan`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.data.layout import Draws, Layout, Record, Source, TrainingPlan, check_split
from core.errors import ConfigError, DataError
from domains.remote_sensing.data.folder_geotiff import FolderGeoTIFF
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.io.read import grid_of
from domains.remote_sensing.raster import Window


class RasterWindows(Layout):
    """Windows of the rasters of a folder; splits, tables and modalities are those of `FolderGeoTIFF`.

    window: side, pixels. listed: windows of each raster that are records, evenly spaced in its grid; None = all.
    per_epoch: windows that training draws in an epoch; None = as many as cover the rasters once. block: side of the
    files' blocks (GDAL's default for Cloud-Optimised GeoTIFF is 512). streams, mix: see `windows.plan`; a batch mixes
    windows of `mix` places. Loader processes are best 1 or `streams`. cache_mb: of decoded blocks in each of them.
    Labels of a raster (a table's columns) are those of its windows, and its label map belongs to listed windows.
    Raises DataError for a raster that is smaller than a window.
    """

    name: ClassVar[str] = "windows of rasters"
    licence: ClassVar[str] = FolderGeoTIFF.licence
    source: ClassVar[str] = FolderGeoTIFF.source

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        window: int = 256,
        listed: int | None = 16,
        per_epoch: int | None = None,
        block: int = 512,
        streams: int = 2,
        mix: int = 8,
        cache_mb: int = 512,
        table: str | None = None,
        s1: str = "sentinel1_db",
        s2: str = "sentinel2_l2a",
        rgb: str = "rgb",
        dem: str = "elevation",
        baseline: str = "",
        classes: int | None = None,
    ) -> None:
        for name, value in {"window": window, "listed": listed, "per_epoch": per_epoch, "cache_mb": cache_mb}.items():
            if value is not None and value < 1:
                raise ConfigError(f"{name}: is {value}; give at least 1")
        check_split(split, owner=self.name)
        whole = FolderGeoTIFF(
            root=root, split=split, table=table, s1=s1, s2=s2, rgb=rgb, dem=dem, baseline=baseline, classes=classes
        )
        super().__init__(root=root, split=split)
        self.label_names = whole.label_names
        self.window, self.per_epoch, self.block = window, per_epoch, block
        self.streams, self.mix, self.cache_mb = streams, mix, cache_mb
        self.rasters = list(whole)
        self.shapes = [self._shape(record) for record in self.rasters]
        self._listed = [
            (i, *divmod(int(cell), columns // window))
            for i, (rows, columns) in enumerate(self.shapes)
            for cell in _spread((rows // window) * (columns // window), listed)
        ]

    def __len__(self) -> int:
        return len(self._listed)

    def record(self, index: int) -> Record:
        raster, row, column = self._listed[index]
        record = self.rasters[raster]
        part = Window(row * self.window, column * self.window, self.window, self.window)
        sources: dict[str, Source] = {
            name: replace(source, window=part) if isinstance(source, RasterSource) else source
            for name, source in record.sources.items()
        }
        return Record(f"{record.id}@{part.top},{part.left}", record.group, sources, record.labels, record.masks)

    def draws(self, processors: Mapping[str, Any], plan: TrainingPlan) -> Draws:
        """Random windows. Raises ConfigError when the task reads dense labels, which drawn windows do not have."""
        from domains.remote_sensing.windows import WindowDataset, WindowPlan, WindowSampler

        if plan.masks:
            raise ConfigError(
                f"data.layout: drawn windows have no label maps ({', '.join(plan.masks)}); cut labelled tiles and read "
                "them as folder_geotiff"
            )
        streams = self.streams * plan.world
        cover = sum(rows * columns for rows, columns in self.shapes) // self.window**2
        fewest = streams * max(plan.batch_size + self.mix, self.mix)
        windows = WindowPlan(
            tuple(self.shapes), self.window, max(self.per_epoch or cover, fewest), block=self.block, streams=streams,
            mix=self.mix, seed=plan.seed,
        )  # fmt: skip
        dataset = WindowDataset(
            self.rasters, processors, side=self.window, block=self.block, cache_mb=self.cache_mb, seed=plan.seed,
            augment=plan.augment,
        )  # fmt: skip
        sampler = WindowSampler(
            windows, batch_size=plan.batch_size, total=plan.total, start=plan.start, rank=plan.rank, world=plan.world
        )
        return Draws(dataset, sampler)

    def _shape(self, record: Record) -> tuple[int, int]:
        raster = next((s for s in record.sources.values() if isinstance(s, RasterSource)), None)
        if raster is None:
            raise DataError(f"{record.id}: names no raster to cut windows from")
        _, shape, _ = grid_of(raster)
        if min(shape) < self.window:
            raise DataError(f"{raster.path}: {shape[0]} x {shape[1]} pixels; a window has {self.window}, choose fewer")
        return shape


def _spread(size: int, count: int | None) -> np.ndarray:
    return np.linspace(0, size, size if count is None else min(count, size), endpoint=False).astype(int)
