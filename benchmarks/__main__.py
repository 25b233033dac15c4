"""`python -m benchmarks`: the suites; `python -m benchmarks SUITE`: run one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.result import Options, Result
from benchmarks.suite import HERE, Suite, first_line, run_entry, suites
from core.errors import ConfigError, HeptadError, nearest

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a suite or list what there is; returns the exit code. A user's mistake is one message on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        known = suites()
        if not arguments or arguments[0] in ("-h", "--help"):
            print(listing(known))
            return 0
        name, rest = arguments[0], arguments[1:]
        if name not in known:
            raise ConfigError(f"no suite '{name}'{nearest(name, known)}")
        suite = known[name]
        return run_scripts(suite, rest) if suite.scripts else run_suite(suite, rest)
    except HeptadError as err:
        print(f"\nerror: {err}", file=sys.stderr)
        return EXIT_USAGE if isinstance(err, ConfigError) else EXIT_FAILED
    except KeyboardInterrupt:
        print("\ninterrupted; the entries that were finished are written", file=sys.stderr)
        return EXIT_INTERRUPTED


def listing(known: dict[str, Suite]) -> str:
    """Suites with their entries or scripts."""
    lines = []
    for suite in known.values():
        lines.append(f"python -m benchmarks {suite.name}\n  {suite.about}")
        lines += _entry_lines(suite)
        lines += [f"    {s:<30} {first_line(HERE / suite.name / f'{s}.py')}" for s in suite.scripts]
    return "\n".join(lines)


def run_scripts(suite: Suite, rest: list[str]) -> int:
    """Run every script of a suite with the same arguments, each in its own process; with `--suite NAME` that one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--suite", metavar="NAME")
    asked, rest = parser.parse_known_args(rest)
    if asked.suite is not None and asked.suite not in suite.scripts:
        raise ConfigError(
            f"--suite {asked.suite}: '{suite.name}' has no such script{nearest(asked.suite, suite.scripts)}"
        )
    scripts = suite.scripts if asked.suite is None else (asked.suite,)
    codes = [
        subprocess.run([sys.executable, "-m", f"benchmarks.{suite.name}.{script}", *rest], check=False).returncode
        for script in scripts
    ]
    return max(codes, key=abs, default=0)


def run_suite(suite: Suite, rest: list[str]) -> int:
    asked, overrides = _parser(suite).parse_known_args(rest)
    chosen = suite.chosen(asked.only)
    if overrides and not set(chosen) & set(suite.driving):
        raise ConfigError(
            f"{overrides[0]}: unknown option; only {', '.join(suite.driving)} hand arguments to a command"
        )
    if not asked.seeds or len(set(asked.seeds)) < len(asked.seeds) or min(asked.seeds) < 0:
        raise ConfigError(f"--seeds: {asked.seeds} must be different numbers from 0 on, for instance 0 1 2")
    if asked.threads < 1:
        raise ConfigError(f"--threads: is {asked.threads}; give 1 or more")
    if asked.run is not None and not asked.run.is_dir():
        raise ConfigError(f"--run: no such folder: {asked.run}")
    folder = asked.out or Path("runs") / "benchmarks" / f"{suite.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder.mkdir(parents=True, exist_ok=True)
    return _run(suite, chosen, asked, overrides, folder)


def _run(suite: Suite, chosen: Sequence[str], asked: argparse.Namespace, overrides: list[str], folder: Path) -> int:
    import torch

    from benchmarks import output

    torch.set_num_threads(asked.threads)
    results: list[Result] = []
    for number, entry in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {entry}: {suite.claim(entry)}", file=sys.stderr, flush=True)
        options = Options(
            seeds=tuple(asked.seeds),
            folder=folder / entry,
            run=asked.run,
            overrides=tuple(overrides) if entry in suite.driving else (),
            full=asked.full,
        )
        wall, cpu = time.perf_counter(), _cpu_seconds()
        result = run_entry(suite.name, entry, options)
        results.append(replace(result, wall_s=time.perf_counter() - wall, cpu_s=_cpu_seconds() - cpu))
        as_json, page = output.write(suite.name, results, folder)  # after each, so that a stop loses one entry
    output.show(results)
    print(f"\nreport  {page}\nfigures {as_json}")
    return 0


def _cpu_seconds() -> float:
    """Processor time of this process and of the children it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _parser(suite: Suite) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {suite.name}",
        description=suite.about,
        epilog="entries:\n" + "\n".join(_entry_lines(suite)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="entries to run (default: all but those marked long)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="seeds (default: 0 1 2)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: runs/benchmarks/...)")
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads of the entries that are not long (default: 1)"
    )
    parser.set_defaults(run=None, full=False)
    if suite.sizes:
        parser.add_argument("--full", action="store_true", help="sizes of the acceptance figures; default: a rehearsal")
    if suite.driving:
        parser.add_argument("--run", type=Path, metavar="RUN_DIR", help="a finished pretraining run to start from")
        parser.usage = "%(prog)s [options] [--setting VALUE ...: handed to the command that a long entry drives]"
    return parser


def _entry_lines(suite: Suite) -> list[str]:
    marked = [(name, "") for name in suite.entries] + [(name, "(long) ") for name in suite.long]
    return [f"    {name:<30} {mark}{suite.claim(name)}" for name, mark in marked]


if __name__ == "__main__":
    raise SystemExit(main())
