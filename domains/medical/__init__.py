"""Chest CT, radiographs and reports. Light to import: torch and the readers come with the first use of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazily

if TYPE_CHECKING:
    from core.hub import load_encoder as load_encoder

_WHERE = {"load_encoder": "core.hub", "read": "domains.medical.io", "layout_class": "domains.medical.data"}
__all__ = list(_WHERE)
__getattr__, __dir__ = lazily(__name__, _WHERE)
