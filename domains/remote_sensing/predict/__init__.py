"""Whole scenes to georeferenced maps: `map_scene`, and `python -m domains.remote_sensing.predict`. Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domains.remote_sensing.predict.inputs import MapInput as MapInput
    from domains.remote_sensing.predict.result import SceneMap as SceneMap
    from domains.remote_sensing.predict.scene import map_scene as map_scene

_WHERE = {"map_scene": "scene", "MapInput": "inputs", "SceneMap": "result"}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
