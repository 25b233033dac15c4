"""Which suites there are and what their entries claim, read without importing them: help costs no torch."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.result import Options, Result
from core.errors import ConfigError, nearest

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Suite:
    """A folder of benchmarks. entries: modules with a `run(options)`; long: those that run only when named.

    sizes: its entries come in two sizes, and take --run and settings like long ones.
    A suite without either holds scripts, each a module with its own command line.
    """

    name: str
    about: str
    entries: tuple[str, ...]
    long: tuple[str, ...]
    sizes: bool = False

    @property
    def driving(self) -> tuple[str, ...]:
        """Entries that drive commands: they take --run, and settings to hand on."""
        return self.long + (self.entries if self.sizes else ())

    @property
    def scripts(self) -> tuple[str, ...]:
        if self.entries or self.long:
            return ()
        return tuple(sorted(p.stem for p in (HERE / self.name).glob("*.py") if not p.stem.startswith("_")))

    def claim(self, entry: str) -> str:
        """First line of the module's docstring: what the entry puts to the test."""
        return first_line(HERE / self.name / f"{entry}.py")

    def chosen(self, only: Sequence[str] | None) -> tuple[str, ...]:
        """Entries to run, in the suite's order. Raises ConfigError for a name that is not among them."""
        if only is None:
            return self.entries
        known = self.entries + self.long
        for name in only:
            if name not in known:
                raise ConfigError(f"--only {name}: suite '{self.name}' has no such entry{nearest(name, known)}")
        return tuple(name for name in known if name in only)


def suites() -> dict[str, Suite]:
    """All suites by name."""
    found = {}
    for module in pkgutil.iter_modules([str(HERE)]):
        if module.ispkg:
            package = importlib.import_module(f"benchmarks.{module.name}")
            entries, long = getattr(package, "ENTRIES", ()), getattr(package, "LONG", ())
            about = (package.__doc__ or "").split("\n")[0]
            sizes = bool(getattr(package, "SIZES", False))
            found[module.name] = Suite(module.name, about, tuple(entries), tuple(long), sizes)
    return found


def run_entry(suite: str, entry: str, options: Options) -> Result:
    """Import the entry's module and run it."""
    return cast(Result, importlib.import_module(f"benchmarks.{suite}.{entry}").run(options))


def first_line(path: Path) -> str:
    """First line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0]
