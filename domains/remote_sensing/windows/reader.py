"""One raster that stays open: blocks of it as the processor's int16 steps.

What happens to a stored number (nodata, scale, offset, unit, rounding) depends on that number alone. For files of 8 or
16 bit integers it is therefore worked out once for every number there can be, by the very code that reads any other
raster, and looked up from then on. Other rasters (floats, several files, masks) go through that code block by block.

Shape legend: C = bands, H, W = rows and columns.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from domains.remote_sensing.data.source import RasterSource
from domains.remote_sensing.io.guard import environment, opened, reading
from domains.remote_sensing.io.header import Header, read_header
from domains.remote_sensing.io.read import stated_spec
from domains.remote_sensing.predict.inputs import MapInput, SceneInput
from domains.remote_sensing.processors.raster import RasterProcessor, day_of_year
from domains.remote_sensing.raster import Raster, Window
from domains.remote_sensing.units import cleaned, values_of

COUNTED = ("uint8", "int16", "uint16")


class BlockReader:
    """Blocks of one raster. Raises DataError when it cannot be read, naming the file."""

    def __init__(self, source: RasterSource, processor: RasterProcessor) -> None:
        self.scene = SceneInput(MapInput(source, processor))
        self.source = source
        self.day = np.array(day_of_year(source.time), np.float32)
        self._open = ExitStack()
        self._file: Any = None
        self._looked_at = False
        if not source.files:
            self._try_table()

    @property
    def shape(self) -> tuple[int, int]:
        return self.scene.grid.shape

    def close(self) -> None:
        self._open.close()

    def lonlat(self, window: Window) -> np.ndarray:
        return self.scene.lonlat(window)

    def read(self, window: Window) -> np.ndarray:
        """(C, H, W) int16 steps of the processor, MISSING where nothing was recorded."""
        if self._file is None or not self._looked_at:  # the first block also meets the checks of values
            self._looked_at = True
            sample = self.scene.read(window)
            self.day = sample["day"]
            return sample["x"]
        rows, columns = (window.top, window.top + window.height), (window.left, window.left + window.width)
        with reading(self.source.path):
            stored_CHW = self._file.read(self._bands, window=(rows, columns))
        if self._same:
            return self._table_CN[0][stored_CHW.view(self._index)]
        return np.stack([row[band] for row, band in zip(self._table_CN, stored_CHW.view(self._index), strict=True)])

    def _try_table(self) -> None:
        with environment(), reading(self.source.path):
            file = self._open.enter_context(opened(self.source.path))
            header = read_header(file)
            dtypes = {file.dtypes[i - 1] for i in header.bands}
            spec = stated_spec(self.source.spec, header)
        (dtype,) = dtypes if len(dtypes) == 1 else ("",)
        wanted = self.scene.processor.spec.names
        if header.masked or dtype not in COUNTED or not set(wanted) <= set(spec.names):
            self._open.close()
            return
        self._file, self._index = file, np.dtype("uint8" if dtype == "uint8" else "uint16")
        self._bands = [header.bands[spec.names.index(name)] for name in wanted]
        self._table_CN = self._table(header, spec, dtype)
        self._same = bool((self._table_CN == self._table_CN[:1]).all())

    def _table(self, header: Header, spec: Any, dtype: str) -> np.ndarray:
        """(C, N) int16: the step of every number a band can hold, by its bit pattern."""
        numbers = np.arange(2 ** (8 * np.dtype(dtype).itemsize), dtype=self._index).view(dtype)
        if header.nodata is not None:
            spec = replace(spec, nodata=header.nodata)
        if header.scale is not None:
            spec = replace(spec, scale=header.scale, offset=header.offset)
        stored_C1N = np.broadcast_to(numbers, (len(spec), 1, len(numbers)))
        raster = Raster(cleaned(values_of(stored_C1N, spec), spec), spec.as_values(), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
        return self.scene.processor.load(raster)["x"][:, 0]
