"""Sentinel-1 and -2, other rasters, land cover and captions. Light to import: torch, rasterio come with use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazily

if TYPE_CHECKING:
    from core.hub import load_encoder as load_encoder

_WHERE = {
    "load_encoder": "core.hub",
    "read_raster": "domains.remote_sensing.io",
    "write_raster": "domains.remote_sensing.io",
    "layout_class": "domains.remote_sensing.data",
    "BandSpec": "domains.remote_sensing.bands",
    "preset": "domains.remote_sensing.sensors",
}
__all__ = list(_WHERE)
__getattr__, __dir__ = lazily(__name__, _WHERE)
