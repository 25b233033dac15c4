"""Layouts of public medical datasets, by name. Nothing is imported until a layout is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from core.data.layout import Layout

LAYOUTS = {
    "ct_rate": "domains.medical.data.ct_rate:CTRate",
    "mimic_cxr_jpg": "domains.medical.data.mimic_cxr:MimicCXR",
    "iu_xray": "domains.medical.data.iu_xray:IUXray",
    "openi": "domains.medical.data.openi:OpenI",
    "roco_v2": "domains.medical.data.roco:ROCOv2",
    "roco": "domains.medical.data.roco:ROCO",
    "folder_csv": "domains.medical.data.folder_csv:FolderCSV",
    "thorax_phantom": "domains.medical.data.samples:ThoraxPhantom",
}


def layout_class(name: str) -> type[Layout]:
    """The layout class called `name`. Raises ConfigError with the nearest name."""
    if name not in LAYOUTS:
        raise ConfigError(f"data.layout: there is no layout '{name}'{nearest(name, LAYOUTS)}")
    module, _, attribute = LAYOUTS[name].partition(":")
    return getattr(import_module(module), attribute)
