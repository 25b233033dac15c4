"""Runs of the real commands over several seeds, each in a process of its own, with their summaries.

A process per run keeps memory peaks, threads and random state apart. A run that is already finished in its folder, with
the same arguments, is not repeated: a sweep that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import ConfigError, DataError, nearest
from core.files import write_atomic

Launch = Callable[[list[str], Path], int]  # (arguments of the interpreter, log file) -> exit code
ARGUMENTS = "arguments.json"
TAIL = 15  # lines of a failed run's log that are shown


def launch(arguments: list[str], log: Path) -> int:
    """Run the interpreter with `arguments`; everything it prints goes to `log`."""
    with open(log, "w", encoding="utf-8") as out:
        return subprocess.run(
            [sys.executable, *arguments], stdout=out, stderr=subprocess.STDOUT, check=False
        ).returncode


def run_command(
    domain: str, verb: str, arguments: Sequence[str], folder: Path, *, start: Launch = launch
) -> dict[str, Any]:
    """summary.json of `python -m domains.<domain>.<verb> <arguments> --run_dir <folder>`.

    Raises DataError with the end of the log when the command fails, ConfigError for a folder of a run with other
    arguments.
    """
    summary, asked = folder / "summary.json", folder.parent / f"{folder.name}.{ARGUMENTS}"
    command = list(arguments)
    begun = (folder / "config.yaml").is_file()
    if begun and (not asked.is_file() or json.loads(asked.read_text(encoding="utf-8")) != command):
        raise ConfigError(f"{folder}: holds a run with other arguments; give another folder with --out")
    if not summary.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(asked, json.dumps(command, indent=1) + "\n")
        rest = ["--resume", str(folder)] if begun else [*command, "--run_dir", str(folder)]
        print(f"  {verb} {folder.name}{' (resumed)' if begun else ''} ...", file=sys.stderr, flush=True)
        log = folder.parent / f"{folder.name}.log"
        code = start(["-m", f"domains.{domain}.{verb}", *rest], log)
        if code != 0 or not summary.is_file():
            raise DataError(f"the run in {folder} ended with exit code {code}; its last lines ({log}):\n{_end(log)}")
    values: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return values


def pick(summary: Mapping[str, Any], names: Sequence[str], where: Path) -> dict[str, float]:
    """The named figures. Raises DataError for one that the run did not give."""
    for name in names:
        if not isinstance(summary.get(name), int | float):
            given = [key for key, value in summary.items() if isinstance(value, int | float)]
            raise DataError(f"{where / 'summary.json'}: has no figure '{name}'{nearest(name, given)}")
    return {name: float(summary[name]) for name in names}


def _end(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return "\n".join(lines[-TAIL:])
