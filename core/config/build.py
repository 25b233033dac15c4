"""Builds objects from configuration nodes that `check` has found good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from core.config.check import holds_node, import_class, is_node, signature_of


def build(node: Mapping[str, Any], **given: Any) -> Any:
    """The object a node describes; nodes among its arguments are built first. `given`: further arguments."""
    cls = import_class(str(node["class_path"]))
    hints = signature_of(cls)
    arguments = {name: _built(value, hints[name][0]) for name, value in (node.get("init_args") or {}).items()}
    return cls(**arguments, **given)


def _built(value: Any, hint: Any) -> Any:
    if holds_node(value):
        return _built_nodes(value)
    try:  # "3" -> 3, [1, 2] -> (1, 2), "x" -> Path("x"): what the signature says
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return value


def _built_nodes(value: Any) -> Any:
    if is_node(value):
        return build(value)
    if isinstance(value, Mapping):
        return {name: _built_nodes(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_built_nodes(part) for part in value]
    return value
