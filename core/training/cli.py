"""The command line of every domain: `python -m domains.<domain>.<verb>`.

A verb reads its system's YAML, lays dotted overrides over it, checks the whole and hands the settings to a runner.
Help and errors about names answer without importing torch.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.config.schema import VERBS, RunSettings
from core.config.tree import Tree, apply_overrides, dump, find_system, load_system, load_yaml
from core.errors import ConfigError, HeptadError, missing_extra, nearest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
OWN = ("core", "domains", "benchmarks", "configs")  # a module of these that is missing is a bug
EXIT_USAGE, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: the domain, the verb, the system's name and the merged configuration tree."""

    domain: str
    verb: str
    system: str
    tree: Tree
    resume: Path | None = None

    @property
    def command(self) -> str:
        return f"python -m domains.{self.domain}.{self.verb}"


def main(domain: str, verb: str, argv: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit code."""

    def work() -> None:
        request = read(domain, verb, list(sys.argv[1:] if argv is None else argv))
        if request is not None:
            importlib.import_module(f"core.training.{verb}").run(request)

    after = "continue with --resume RUN_DIR" if verb in ("pretrain", "finetune") else "start the same command again"
    return guarded(work, extra=domain.replace("_", "-"), after=after)


def guarded(work: Callable[[], None], *, extra: str = "all", after: str = "start the same command again") -> int:
    """Exit code of `work`. A user's mistake, a full disk or a package that is not installed is one message on stderr, a
    bug is a traceback. extra: of the suite, that brings the packages of this command. after: what to do when it was
    interrupted."""
    try:
        work()
        sys.stdout.flush()
    except HeptadError as err:
        print(f"\nerror: {err}", file=sys.stderr)
        return EXIT_USAGE if isinstance(err, ConfigError) else EXIT_FAILED
    except KeyboardInterrupt:
        print(f"\ninterrupted; {after}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except ModuleNotFoundError as err:
        package = (err.name or "").partition(".")[0]
        if not package or package in OWN:
            raise
        print(f"\nerror: {missing_extra(package, extra)}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as err:
        if err.errno not in DISK_FAULTS:
            raise
        where = f"{err.filename}: " if err.filename else ""
        print(f"\nerror: {where}{err.strerror}; free some space, or choose another folder", file=sys.stderr)
        return EXIT_FAILED
    return 0


def read(domain: str, verb: str, argv: list[str]) -> Request | None:
    """Turn arguments into a request; None when help or the configuration was printed instead."""
    about = domain_info(domain)
    parser = _parser(domain, verb, about)
    known, rest = parser.parse_known_args(argv)
    resume = Path(known.resume) if known.resume else None
    overrides = [(key, value) for key, value in _given(known)] + _pairs(rest)
    if resume is not None:
        saved = resume / "config.yaml"
        if not saved.is_file():
            raise ConfigError(f"--resume {resume}: no config.yaml there; give the folder of a run that was started")
        if overrides or known.config:
            shown = ", ".join(f"--{key}" for key, _ in overrides) or "--config"
            raise ConfigError(f"--resume continues a run exactly as it was started; leave out {shown}")
        tree = load_yaml(saved)
        tree["run_dir"] = str(resume)
        return Request(domain, verb, str(tree.pop("system", "")), tree, resume)
    system = known.config or about.get("default", {}).get(verb, "")
    tree = {}
    if system:
        path = find_system(system, CONFIGS / domain / verb)
        system = path.stem
        tree = load_system(path)
    system = str(tree.pop("system", system))  # a run's saved config names the system it came from
    _refuse_foreign(verb, overrides)
    tree = apply_overrides(tree, overrides)
    request = Request(domain, verb, system, tree)
    if known.print_config:
        print(dump(_with_defaults(verb, tree)), end="")
        return None
    return request


def domain_info(domain: str) -> Tree:
    """`configs/<domain>/domain.yaml`: summary, sample data and the default system of each verb."""
    path = CONFIGS / domain / "domain.yaml"
    if not path.is_file():
        names = [p.parent.name for p in CONFIGS.glob("*/domain.yaml")]
        raise ConfigError(f"no domain '{domain}'{nearest(domain, names)}")
    return load_yaml(path)


def systems(domain: str, verb: str) -> dict[str, str]:
    """Systems of a verb: name -> the first sentence of the YAML's header."""
    return {
        path.stem: first_sentence(path.read_text(encoding="utf-8"))
        for path in sorted((CONFIGS / domain / verb).glob("*.yaml"))
        if not path.name.startswith("_")
    }


def first_sentence(text: str) -> str:
    """The comment that a file begins with, up to the first full stop at the end of a word ("et al." is none)."""
    header = " ".join(
        line.lstrip("# ").strip() for line in takewhile(lambda line: line.startswith("#"), text.splitlines())
    )
    found = re.search(r"(?<!\bal)[.](?=\s|$)", header)
    return header[: found.end()] if found else header


def _parser(domain: str, verb: str, about: Tree) -> argparse.ArgumentParser:
    schema = VERBS[verb]
    default = about.get("default", {}).get(verb, "")
    names = systems(domain, verb)
    listing = "\n".join(f"  {name:<20} {text}" for name, text in names.items())
    components = [name for name in ("model", "task", "objectives") if _is_component(schema, name)]
    hints = "\n".join(f"  --{name}{'.0' if name == 'objectives' else ''}.<argument> VALUE" for name in components)
    parser = argparse.ArgumentParser(
        prog=f"python -m domains.{domain}.{verb}",
        usage="%(prog)s [--config NAME|FILE] [--setting VALUE ...] [--resume RUN_DIR] [--print_config]",
        description=f"{(schema.__doc__ or '').strip()}\n\n{about.get('summary', '')}".strip(),
        epilog=(f"systems (--config):\n{listing}\n" if listing else "")
        + (f"\narguments of components, by their place in the YAML (see --print_config):\n{hints}\n" if hints else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    start = parser.add_argument_group("run")
    start.add_argument(
        "--config", metavar="NAME|FILE", default=None, help=f"system to run (default: {default or 'none'})"
    )
    start.add_argument(
        "--print_config", action="store_true", default=False, help="print the whole configuration and stop"
    )
    start.add_argument("--resume", metavar="RUN_DIR", default=None, help="continue a stopped or killed run")
    _add_settings(parser, start, schema, "")
    return parser


def _add_settings(parser: argparse.ArgumentParser, group: Any, schema: type[BaseModel], prefix: str) -> None:
    later = []
    for name, field in schema.model_fields.items():
        inner = _settings_class(field.annotation)
        if inner is not None:
            later.append((name, inner))
        elif not (_is_component(schema, name) and not prefix):
            shown = _type_name(field.annotation)
            default = "" if field.is_required() else f" (default: {_default(field.default)})"
            description = f"{field.description or ''}{default}".replace("%", "%%")
            how: dict[str, Any] = {}
            if shown.startswith("list") and not prefix:
                how["nargs"] = "+"
            elif _is_text(field.annotation):
                how["type"] = _quoted
            elif shown == "str|list":
                how["type"] = _quoted_unless_list
            metavar = shown.upper() if len(shown) < 9 else "VALUE"
            group.add_argument(f"--{prefix}{name}", metavar=metavar, help=description, **how)
    for name, inner in later:
        _add_settings(parser, parser.add_argument_group(f"{prefix}{name}"), inner, f"{prefix}{name}.")


def _settings_class(annotation: Any) -> type[BaseModel] | None:
    for member in (annotation, *typing.get_args(annotation)):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def _is_component(schema: type[BaseModel], name: str) -> bool:
    field = schema.model_fields.get(name)
    return field is not None and name in {"model", "task", "objectives"} and "Path" not in str(field.annotation)


def _is_text(annotation: Any) -> bool:
    """Whether every value of an option is text, so that `--run_dir 2026` is a name and not a number."""
    members = [a for a in typing.get_args(annotation) or (annotation,) if a is not type(None)]
    return all(member in (str, Path) or isinstance(member, str) for member in members)


def _type_name(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _type_name(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        return "|".join(str(v) for v in typing.get_args(annotation))
    if origin in {typing.Union, types.UnionType}:
        return "|".join(_type_name(a) for a in typing.get_args(annotation) if a is not type(None))
    return getattr(origin or annotation, "__name__", str(annotation)).lower()


def _default(value: Any) -> str:
    return "none" if value is None else '""' if value == "" else str(value)


def _given(known: argparse.Namespace) -> list[tuple[str, str]]:
    skip = {"config", "print_config", "resume"}
    pairs = []
    for key, value in vars(known).items():
        if key not in skip:
            pairs.append((key, dump_list(value) if isinstance(value, list) else value))
    return pairs


def _quoted(text: str) -> str:
    """A word of the command line as a YAML string; `null` stays null."""
    return text if text in ("null", "~") else "'" + text.replace("'", "''") + "'"


def _quoted_unless_list(text: str) -> str:
    """A word, or several as a YAML list: `s1` and `[s1, s2]`."""
    return text if text.startswith("[") else _quoted(text)


def dump_list(values: list[str]) -> str:
    """Several words of one option as a YAML list of strings; a single `[a, b]` is that list already."""
    if len(values) == 1 and values[0].startswith("[") and values[0].endswith("]"):
        return values[0]
    return "[" + ", ".join(_quoted(value) for value in values) + "]"


def _pairs(rest: list[str]) -> list[tuple[str, str]]:
    """`--a.b VALUE` and `--a.b=VALUE` as pairs."""
    pairs, position = [], 0
    while position < len(rest):
        word = rest[position]
        if not re.match(r"^--[A-Za-z_]", word):
            raise ConfigError(f"'{word}' is not an option; options look like --data.root DIR")
        key, equals, value = word[2:].partition("=")
        if not equals:
            position += 1
            if position >= len(rest):
                raise ConfigError(f"--{key}: a value must follow")
            value = rest[position]
        pairs.append((key, value))
        position += 1
    return pairs


def _refuse_foreign(verb: str, overrides: list[tuple[str, str]]) -> None:
    """A mistyped first word of an option is caught here, where the message can name options."""
    fields = VERBS[verb].model_fields
    unknown = [key for key, _ in overrides if key.split(".")[0] not in fields]
    if unknown:
        options = [*fields, "config", "print_config", "resume"]
        lines = [f"  - --{key}: unknown option{nearest(key.split('.')[0], options)}" for key in unknown]
        raise ConfigError("command line:\n" + "\n".join(lines))


def _with_defaults(verb: str, tree: Tree) -> Tree:
    """The tree with every setting's default written out; as it is where it has faults."""
    from core.config.check import FaultFinder

    checked = FaultFinder().settings(VERBS[verb], tree)
    return tree if checked is None else _plain(checked)


def _plain(settings: RunSettings) -> Tree:
    plain: Tree = settings.model_dump(mode="json")
    return plain
