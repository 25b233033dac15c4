"""One raster onto the grid of another: `coregister`, and `python -m domains.remote_sensing.coregister`. Light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domains.remote_sensing.coregister.estimate import Alignment as Alignment
    from domains.remote_sensing.coregister.job import coregister as coregister

_WHERE = {"coregister": "job", "Alignment": "estimate"}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
