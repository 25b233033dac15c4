"""A configuration as a plain tree of dicts, lists and scalars: read from YAML, merged, overridden by dotted keys.

Later sources win; dicts merge key by key, except that a node whose `class_path` changes is replaced whole (arguments of
one class mean nothing to another). `base: NAME` at the top of a file starts from another file of the same folder.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigError, nearest

Tree = dict[str, Any]


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice or that is no text, and reads 1e-4 as a number (YAML 1.1 wants 1.0e-4).

    A date stays text: no setting is a date, and a run may well be called 2026-01-01.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                problem = "`<<` is not supported; use `base: NAME` to start from another file"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"a key must be text, this one is a {type(key).__name__}; put it in quotes"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _float_without_dot(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float | str:
    text = str(loader.construct_scalar(node))
    try:
        return float(text)
    except ValueError:
        return text


_UniqueKeyLoader.add_implicit_resolver(
    "!exponent", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
_UniqueKeyLoader.add_constructor("!exponent", _float_without_dot)
_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(node.value))


def parse_value(text: str) -> Any:
    """A command-line value: YAML where it is YAML (`3`, `1e-4`, `true`, `[1, 2]`), else a string.

    Raises ConfigError for a list or mapping that is not closed or not well formed.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        if text.lstrip().startswith(("[", "{")):
            raise ConfigError(f"'{text[:60]}' is not valid YAML ({getattr(err, 'problem', None) or err})") from err
        return text


def load_yaml(path: Path) -> Tree:
    """Read one YAML mapping. Raises ConfigError with file, line and fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read ({err.strerror})") from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path}: is not UTF-8 text") from err
    try:
        tree = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML ({getattr(err, 'problem', None) or err})") from err
    except ValueError as err:  # a number of thousands of digits
        raise ConfigError(f"{path}: not valid YAML ({err})") from err
    except RecursionError as err:
        raise ConfigError(f"{path}: nested too deeply to be a configuration") from err
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds a {type(tree).__name__}, expected a mapping of settings")
    return tree


def load_system(path: Path) -> Tree:
    """Read a system's YAML and the chain of `base` files it starts from."""
    chain: list[Tree] = []
    seen: list[Path] = []
    here: Path | None = path.resolve()  # `a/../a` is not another file
    while here is not None:
        if here in seen:
            raise ConfigError(f"{path}: `base` goes in a circle: {' -> '.join(p.name for p in [*seen, here])}")
        seen.append(here)
        tree = load_yaml(here)
        base = tree.pop("base", None)
        chain.append(tree)
        if base is None:
            break
        there = here.parent / (base if str(base).endswith(".yaml") else f"{base}.yaml")
        if not there.is_file():
            raise ConfigError(f"{here}: base '{base}' is not a file beside it{nearest(str(base), _names(here.parent))}")
        here = there.resolve()
    merged: Tree = {}
    for tree in reversed(chain):
        merged = merge(merged, tree)
    return merged


def find_system(name: str, folder: Path) -> Path:
    """The YAML that `--config name` means: a path, or the name of a file in `folder`."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"--config {name}: no such file")
        return path
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"--config {name}: no system of that name{nearest(name, _names(folder))}")
    return path


def _names(folder: Path) -> list[str]:
    return [p.stem for p in folder.glob("*.yaml") if not p.name.startswith("_")]


def merge(below: Tree, above: Tree) -> Tree:
    """`above` laid over `below`; neither is changed."""
    out = copy.deepcopy(below)
    for key, value in above.items():
        old = out.get(key)
        new_class = isinstance(value, dict) and "class_path" in value
        if isinstance(old, dict) and isinstance(value, dict):
            if new_class and value["class_path"] != old.get("class_path"):
                out[key] = copy.deepcopy(value)
            else:
                out[key] = merge(old, value)
        else:
            out[key] = copy.deepcopy(value)
    return out


def set_dotted(tree: Tree, dotted: str, value: Any) -> None:
    """Set `a.b.0.c` in place. List elements are named by position. Raises ConfigError where the path leaves the tree.

    A missing dict on the way is made; `init_args` may be left out: `model.dim` means `model.init_args.dim`. Another
    `class_path` drops the arguments of the old class.
    """
    parts = dotted.split(".")
    of_node = {"class_path", "init_args"}
    here: Any = tree
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(here, list):
            if not part.lstrip("-").isdigit() or not -len(here) <= int(part) < len(here):
                where = ".".join(parts[:depth])
                raise ConfigError(f"--{dotted}: '{where}' is a list of {len(here)}; '{part}' is not a position in it")
            if last:
                here[int(part)] = value
            else:
                here = here[int(part)]
            continue
        if not isinstance(here, dict):
            raise ConfigError(f"--{dotted}: '{'.'.join(parts[:depth])}' is a plain value and has no '{part}'")
        is_term = parts[0] == "objectives" and depth == 2
        if "class_path" in here and part not in of_node and not (is_term and part == "weight"):
            if here.get("init_args") is None:
                here["init_args"] = {}
            here = here["init_args"]
            if not isinstance(here, dict):
                raise ConfigError(f"--{dotted}: 'init_args' of '{'.'.join(parts[:depth])}' is not a mapping")
        if last and part == "class_path" and here.get(part) not in (None, value):
            here.pop("init_args", None)
        if last:
            here[part] = value
        else:
            if here.get(part) is None:
                here[part] = {}
            here = here[part]


def apply_overrides(tree: Tree, overrides: Iterable[tuple[str, str]]) -> Tree:
    """The tree with `--dotted.key value` pairs applied in order. Raises one ConfigError for all that cannot be."""
    out = copy.deepcopy(tree)
    faults = []
    for dotted, text in overrides:
        try:
            set_dotted(out, dotted, parse_value(text))
        except ConfigError as err:
            message = str(err)
            faults.append(message if message.startswith("--") else f"--{dotted}: {message}")
    if faults:
        raise ConfigError("command line:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return out


def dump(tree: Tree) -> str:
    """The tree as YAML text, keys in their order."""
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)
