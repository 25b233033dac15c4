"""Layouts of public remote sensing datasets, by name. Nothing is imported until a layout is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from core.data.layout import Layout

LAYOUTS = {
    "ssl4eo_s12": "domains.remote_sensing.data.ssl4eo:SSL4EOS12",
    "noldo_s12": "domains.remote_sensing.data.ssl4eo:NoLDOS12",
    "bigearthnet_v2": "domains.remote_sensing.data.bigearthnet:BigEarthNetV2",
    "sen12ms": "domains.remote_sensing.data.sen12ms:SEN12MS",
    "dfc2020": "domains.remote_sensing.data.sen12ms:DFC2020",
    "sen1floods11": "domains.remote_sensing.data.sen1floods11:Sen1Floods11",
    "eurosat": "domains.remote_sensing.data.eurosat:EuroSAT",
    "so2sat": "domains.remote_sensing.data.so2sat:So2Sat",
    "rsicd": "domains.remote_sensing.data.caption_sets:RSICD",
    "rsitmd": "domains.remote_sensing.data.caption_sets:RSITMD",
    "ucm_captions": "domains.remote_sensing.data.caption_sets:UCMCaptions",
    "sydney_captions": "domains.remote_sensing.data.caption_sets:SydneyCaptions",
    "crisislandmark": "domains.remote_sensing.data.crisislandmark:CrisisLandMark",
    "folder_geotiff": "domains.remote_sensing.data.folder_geotiff:FolderGeoTIFF",
    "raster_windows": "domains.remote_sensing.data.raster_windows:RasterWindows",
    "stac_items": "domains.remote_sensing.data.stac:STACItems",
    "synthetic_changes": "domains.remote_sensing.data.changes:SyntheticChanges",
    "synthetic_scenes": "domains.remote_sensing.data.samples:SyntheticScenes",
}


def layout_class(name: str) -> type[Layout]:
    """The layout class called `name`. Raises ConfigError with the nearest name."""
    if name not in LAYOUTS:
        raise ConfigError(f"data.layout: there is no layout '{name}'{nearest(name, LAYOUTS)}")
    module, _, attribute = LAYOUTS[name].partition(":")
    return getattr(import_module(module), attribute)
