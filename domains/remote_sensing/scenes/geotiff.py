"""Many small GeoTIFFs of one grid, quickly: GDAL writes the first, the others get its header and their own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Kind = tuple[tuple[int, ...], str, tuple[float, ...], float | None]


class GeoTiffWriter:
    """Writes single-band, uncompressed GeoTIFFs in one CRS. description: goes into each file's ImageDescription tag."""

    def __init__(self, crs: str, *, description: str) -> None:
        self.crs, self.description = crs, description
        self._around: dict[Kind, tuple[bytes, bytes]] = {}

    def write(self, path: Path, array_HW: NDArray[Any], transform: Sequence[float], nodata: float | None) -> None:
        """Write one band; folders must exist."""
        kind: Kind = (array_HW.shape, array_HW.dtype.str, tuple(transform), nodata)
        if kind not in self._around:
            self._around[kind] = self._header(array_HW.shape, array_HW.dtype, transform, nodata)
        head, tail = self._around[kind]
        path.write_bytes(head + np.ascontiguousarray(array_HW).tobytes() + tail)

    def _header(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], transform: Sequence[float], nodata: float | None
    ) -> tuple[bytes, bytes]:
        """What stands before and after the pixels in a file that GDAL wrote."""
        from rasterio.io import MemoryFile
        from rasterio.transform import Affine

        pixels = np.random.default_rng(1).integers(1, 200, int(np.prod(shape)) * dtype.itemsize, np.uint8)
        pattern = pixels.view(dtype).reshape(shape)
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff", height=shape[0], width=shape[1], count=1, dtype=dtype.name, crs=self.crs,
                transform=Affine(*transform), nodata=nodata, blockysize=shape[0],
            ) as file:  # fmt: skip
                file.update_tags(TIFFTAG_IMAGEDESCRIPTION=self.description)
                file.write(pattern, 1)
            content = bytes(memory.getbuffer())
        parts = content.split(pattern.tobytes())
        assert len(parts) == 2, "GDAL did not write the pixels in one piece"
        return parts[0], parts[1]
