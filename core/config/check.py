"""Checks a whole configuration before anything is built or read, and reports every fault at once.

Settings are checked against pydantic models; a node `{class_path, init_args}` against the typed keyword-only signature
of its class. Each fault names the key, what was found, what was expected and the nearest valid name.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from core.errors import ConfigError, nearest

Settings = TypeVar("Settings", bound=BaseModel)


def is_node(value: Any) -> bool:
    """Whether a value describes an object to build."""
    return isinstance(value, Mapping) and "class_path" in value


def import_class(class_path: str) -> type:
    """The class at a dotted path. Raises ConfigError naming the part of the path that does not exist."""
    module_name, _, class_name = class_path.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in class_path.split(".")):
        raise ConfigError(f"'{class_path}' is not a dotted path to a class, like core.models.DualEncoder")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as err:
        if err.name and not f"{module_name}.".startswith(f"{err.name}."):
            raise ConfigError(f"'{class_path}' needs the package '{err.name}', which is not installed") from err
        hint = _nearest_module(err.name or module_name)
        raise ConfigError(f"'{class_path}': there is no module '{err.name}'{hint}") from err
    except ImportError as err:
        raise ConfigError(f"'{class_path}' cannot be imported ({err})") from err
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        names = [n for n in dir(module) if inspect.isclass(getattr(module, n, None))]
        raise ConfigError(
            f"'{class_path}': module '{module_name}' has no class '{class_name}'{nearest(class_name, names)}"
        )
    return found


def _nearest_module(name: str) -> str:
    """A hint at a module beside the one that does not exist."""
    parent, _, last = name.rpartition(".")
    if not parent:
        return ""
    package = importlib.import_module(parent)
    return nearest(last, [module.name for module in pkgutil.iter_modules(getattr(package, "__path__", []))])


def signature_of(cls: type) -> dict[str, tuple[Any, inspect.Parameter]]:
    """Constructor parameters of a class: name -> (type, parameter)."""
    init = cls.__init__  # type: ignore[misc]
    hints = typing.get_type_hints(init)
    parameters = list(inspect.signature(init).parameters.values())[1:]
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {p.name: (hints.get(p.name, Any), p) for p in parameters if p.kind in kinds}


class FaultFinder:
    """Collects faults while walking a tree; `faults` are lines of text, one per fault."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def settings(self, model: type[Settings], tree: Mapping[str, Any]) -> Settings | None:
        """Validate the settings part; None where it has faults."""
        try:
            return model.model_validate(tree)
        except ValidationError as err:
            for fault in err.errors(include_url=False):
                self._settings_fault(model, fault)
            return None

    def _settings_fault(self, model: type[BaseModel], fault: Any) -> None:
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            valid = _fields_at(model, fault["loc"][:-1])
            self.faults.append(f"{key}: unknown key{nearest(str(fault['loc'][-1]), valid)}")
        elif fault["type"] == "missing":
            self.faults.append(f"{key}: is required and not given")
        elif fault["type"] == "value_error":
            self.faults.append(f"{key}: {fault['ctx']['error']}")
        else:
            self.faults.append(f"{key}: is {_short(fault['input'])}; {_lower(fault['msg'])}")

    def node(self, key: str, value: Any, base: type | None = None) -> None:
        """Check a node and everything below it. `base`: the class it must be, or derive from."""
        if not is_node(value):
            expected = f" describing a {base.__name__}" if base is not None else ""
            self.faults.append(f"{key}: is {_short(value)}; expected {{class_path, init_args}}{expected}")
            return
        for extra in sorted(set(value) - {"class_path", "init_args"}):
            self.faults.append(f"{key}.{extra}: unknown key{nearest(extra, ['class_path', 'init_args'])}")
        try:
            cls = import_class(str(value["class_path"]))
        except ConfigError as err:
            self.faults.append(f"{key}.class_path: {err}")
            return
        if base is not None and not issubclass(cls, base):
            self.faults.append(f"{key}.class_path: {cls.__name__} is not a {base.__name__}")
            return
        if inspect.isabstract(cls):
            self.faults.append(f"{key}.class_path: {cls.__name__} is a base class; name one that derives from it")
            return
        arguments = value.get("init_args") or {}
        if not isinstance(arguments, Mapping):
            self.faults.append(f"{key}.init_args: is {_short(arguments)}; expected a mapping of arguments")
            return
        self.arguments(f"{key}.init_args" if key else "init_args", cls, arguments)

    def arguments(self, key: str, cls: type, arguments: Mapping[str, Any], given: tuple[str, ...] = ()) -> None:
        """Check keyword arguments against a class. `given`: parameters that the caller fills in itself."""
        parameters = signature_of(cls)
        for name, value in arguments.items():
            if name not in parameters or name in given:
                valid = [n for n in parameters if n not in given]
                self.faults.append(f"{key}.{name}: {cls.__name__} has no such argument{nearest(name, valid)}")
            else:
                self.value(f"{key}.{name}", value, parameters[name][0])
        for name, (_, parameter) in parameters.items():
            if parameter.default is inspect.Parameter.empty and name not in arguments and name not in given:
                self.faults.append(f"{key}.{name}: {cls.__name__} requires it and it is not given")

    def value(self, key: str, value: Any, hint: Any) -> None:
        """Check one value against a type, descending into containers that hold nodes."""
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if is_node(value):
            members = inner if _is_union(origin) else (hint,)
            bases = [h for h in members if inspect.isclass(h) and h not in (type(None), Any, object)]
            self.node(key, value, bases[0] if len(bases) == 1 else None)
        elif isinstance(value, Mapping) and holds_node(value):
            item = inner[1] if inner and origin in {dict, Mapping, typing.Mapping} else _optional_item(hint, 1)
            for name, part in value.items():
                self.value(f"{key}.{name}", part, item)
        elif isinstance(value, (list, tuple)) and holds_node(value):
            item = inner[0] if inner and not _is_union(origin) else _optional_item(hint, 0)
            for position, part in enumerate(value):
                self.value(f"{key}.{position}", part, item)
        else:
            self._plain(key, value, hint)

    def _plain(self, key: str, value: Any, hint: Any) -> None:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        except (PydanticSchemaGenerationError, PydanticUserError):
            return
        try:
            found = adapter.validate_python(value)
        except ValidationError as err:
            messages = dict.fromkeys(_lower(fault["msg"]) for fault in err.errors(include_url=False))
            shown = list(messages)[:4] + (["..."] if len(messages) > 4 else [])
            self.faults.append(f"{key}: is {_short(value)}; {' or '.join(shown)}")
            return
        if isinstance(found, Path) and not found.exists():
            self.faults.append(f"{key}: no such file or folder: {found}")

    def raise_if_any(self, what: str) -> None:
        """Raise one ConfigError that lists all faults."""
        if self.faults:
            count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
            raise ConfigError(f"{what}: {count}\n" + "\n".join(f"  - {fault}" for fault in self.faults))


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    here: Any = model
    for part in loc:
        if not (inspect.isclass(here) and issubclass(here, BaseModel)):
            return []
        field = here.model_fields.get(str(part))
        here = field.annotation if field is not None else None
        members = [m for m in typing.get_args(here) if inspect.isclass(m) and issubclass(m, BaseModel)]
        if members:
            here = members[0]
    if inspect.isclass(here) and issubclass(here, BaseModel):
        return list(here.model_fields)
    return []


def _is_union(origin: Any) -> bool:
    return origin in {typing.Union, types.UnionType}


def _optional_item(hint: Any, position: int) -> Any:
    """Item type of the container inside `dict[...] | None` and the like; Any where there is none."""
    for member in typing.get_args(hint):
        inner = typing.get_args(member)
        if len(inner) > position:
            return inner[position]
    return Any


def holds_node(value: Any) -> bool:
    if is_node(value):
        return True
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return any(holds_node(part) for part in parts)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _lower(message: str) -> str:
    message = message.removeprefix("Input ").removeprefix("Value error, ")
    return message[0].lower() + message[1:]
