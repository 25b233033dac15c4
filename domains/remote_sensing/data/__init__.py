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
    "synthetic_scenes": "domains.remote_sensing.data.samples:SyntheticScenes",
}


def layout_class(name: str) -> type[Layout]:
    """The layout class called `name`. Raises ConfigError with the nearest name."""
    if name not in LAYOUTS:
        raise ConfigError(f"data.layout: there is no layout '{name}'{nearest(name, LAYOUTS)}")
    module, _, attribute = LAYOUTS[name].partition(":")
    return getattr(import_module(module), attribute)
