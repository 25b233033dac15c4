"""Chest CT, radiographs and reports. Light to import: torch and the readers come with the first use of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.hub import load_encoder as load_encoder

_WHERE = {"load_encoder": "core.hub", "read": "domains.medical.io", "layout_class": "domains.medical.data"}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'domains.medical' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
