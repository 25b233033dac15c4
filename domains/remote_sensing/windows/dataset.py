"""Windows of rasters as samples, read through the processors of the model, blocks shared between neighbours."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from core.data.dataset import augmented
from core.data.layout import Record
from core.data.processor import Processor, Sample
from core.errors import ConfigError, DataError
from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.processors.raster import MISSING, RasterProcessor
from domains.remote_sensing.raster import Window, same_grid
from domains.remote_sensing.windows.blocks import MIB, BlockCache, assemble
from domains.remote_sensing.windows.plan import Drawn
from domains.remote_sensing.windows.reader import BlockReader

OPEN = 64  # rasters that stay open
RETRIES = 8  # other windows of the same blocks that are looked at when one holds no value at all


class WindowDataset(Dataset[dict[str, Any]]):
    """Item `Drawn` -> sample, as `RecordDataset` gives them: `id`, `group`, `index`, `labels`, `inputs`.

    records: one per raster; its modalities lie on one grid. side: of a window; block: side of the blocks that are kept.
    cache_mb: decoded blocks that each loader process keeps; about 4 x mix blocks serve a stream (see `windows.plan`).
    A modality without any value in a window is absent from the sample; a window without any value at all is replaced by
    another one that begins in the same block, if there is one.
    Raises ConfigError for a processor of text or one that resamples, DataError for modalities on different grids.
    """

    def __init__(
        self,
        records: Sequence[Record],
        processors: Mapping[str, Processor],
        *,
        side: int,
        block: int = 512,
        cache_mb: int = 512,
        seed: int = 0,
        augment: bool = False,
    ) -> None:
        self.records, self.processors = list(records), dict(processors)
        self.side, self.block, self.cache_mb, self.seed, self.augment = side, block, cache_mb, seed, augment
        for name, processor in self.processors.items():
            if not isinstance(processor, RasterProcessor):
                raise ConfigError(f"data.processors.{name}: windows are read by a RasterProcessor")
            if processor.pixel is not None:
                raise ConfigError(f"data.processors.{name}: windows are read as they lie; leave `pixel` out")
        self._clear()

    def _clear(self) -> None:
        self.cache = BlockCache(self.cache_mb * MIB)
        self._readers: OrderedDict[int, dict[str, BlockReader]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Without open files and blocks: GDAL's handles belong to one process."""
        return {**self.__dict__, "cache": None, "_readers": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._clear()

    def __getitem__(self, item: Drawn) -> dict[str, Any]:
        item = Drawn(*item)
        record = self.records[item.raster]
        window = Window(item.top, item.left, self.side, self.side)
        inputs = self.load(item.raster, window)
        rng = np.random.default_rng([self.seed, item.epoch, item.number])
        for _ in range(RETRIES):
            if any(map(_seen, inputs.values())):
                inputs = {name: sample for name, sample in inputs.items() if _seen(sample)}
                break
            window = self._beside(item, rng)
            inputs = self.load(item.raster, window)
        if self.augment:
            inputs = augmented(inputs, self.processors, (self.seed, item.epoch, item.number))
        return {
            "id": f"{record.id}@{window.top},{window.left}",
            "group": record.group,
            "index": item.number,
            "labels": dict(record.labels),
            "inputs": inputs,
        }

    def load(self, raster: int, window: Window) -> dict[str, Sample]:
        """The modalities of a window, as the processors' `load` makes them of that part of the raster."""
        out = {}
        for name, reader in self._opened(raster).items():

            def block_at(whole: Window, name: str = name, reader: BlockReader = reader) -> np.ndarray:
                return self.cache.get((raster, name, whole.top, whole.left), lambda: reader.read(whole))

            x_CHW = assemble(window, self.block, reader.shape, block_at)
            out[name] = {"x": x_CHW, "lonlat": reader.lonlat(window), "day": reader.day}
        return out

    def _beside(self, item: Drawn, rng: np.random.Generator) -> Window:
        """Another window that begins in the same block."""
        corner = []
        for start, length in zip((item.top, item.left), self._shape(item.raster), strict=True):
            low = start // self.block * self.block
            corner.append(int(rng.integers(low, min(low + self.block, length - self.side + 1))))
        return Window(corner[0], corner[1], self.side, self.side)

    def _shape(self, raster: int) -> tuple[int, int]:
        return next(iter(self._opened(raster).values())).shape

    def _opened(self, raster: int) -> dict[str, BlockReader]:
        found = self._readers.get(raster)
        if found is not None:
            self._readers.move_to_end(raster)
            return found
        record, found = self.records[raster], {}
        for name, processor in self.processors.items():
            source = record.sources.get(processor.of or name)
            if source is not None:
                assert isinstance(source, RasterSource)
                assert isinstance(processor, RasterProcessor)
                found[name] = BlockReader(source, processor)
        if not found:
            raise DataError(f"{record.id}: has none of {', '.join(self.processors)}")
        first, *others = (reader.scene for reader in found.values())
        for other in others:
            ours, theirs = first.grid, other.grid
            if ours.crs != theirs.crs or not same_grid(ours.transform, ours.shape, theirs.transform, theirs.shape):
                raise DataError(f"{other.name}: lies on another grid than {first.name}; warp it onto that grid first")
        self._readers[raster] = found
        if len(self._readers) > OPEN:
            for reader in self._readers.popitem(last=False)[1].values():
                reader.close()
        return found


def _seen(sample: Sample) -> bool:
    return bool((sample["x"] != MISSING).any())
