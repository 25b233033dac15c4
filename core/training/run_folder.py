"""The folder of a run: what was asked, what was measured, what came out.

config.yaml (resolved), metrics.jsonl (one object per logged step), summary.json (flat name -> number), checkpoints/,
model/, report.html, bad_records.csv where a record was skipped.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.config.tree import dump, load_yaml
from core.errors import CheckpointError, ConfigError
from core.files import write_atomic
from core.training.cli import Request

RUN_DIR = "HEPTAD_RUN_DIR"  # tells the further processes of a run, one per device, where the first one writes
MADE_BY_RUNS = ("metrics.jsonl", "checkpoints", "summary.json", "model")  # a run that failed earlier left none of these


class RunFolder:
    """Paths and files of one run. Raises ConfigError when a new run would overwrite another."""

    def __init__(self, path: Path, *, resumed: bool = False) -> None:
        self.path = path
        self.started = time.time()
        if not resumed and any((path / name).exists() for name in MADE_BY_RUNS):
            raise ConfigError(f"--run_dir {path}: holds a run already; choose another folder, or --resume {path}")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise ConfigError(f"--run_dir {path}: cannot be made ({err.strerror}); choose another folder") from err

    @classmethod
    def of(cls, request: Request, run_dir: Path | None) -> RunFolder:
        """The folder a request runs in: the resumed one, the one asked for, or a new one named by time."""
        if is_follower():
            return cls(Path(os.environ[RUN_DIR]), resumed=True)
        if request.resume is not None:
            return cls(request.resume, resumed=True)
        if run_dir is not None:
            return cls(run_dir)
        parent = Path("runs") / request.domain
        name = "-".join(part for part in (request.verb, request.system, time.strftime("%Y%m%d-%H%M%S")) if part)
        path, n = parent / name, 2
        while path.exists():
            path, n = parent / f"{name}-{n}", n + 1
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    def write_config(self, tree: Mapping[str, Any], system: str) -> None:
        """Keep the resolved configuration; `system` names the YAML it came from."""
        write_atomic(self.path / "config.yaml", dump({"system": system, **tree}), error=CheckpointError)

    def write_summary(self, values: Mapping[str, float | int | str | None]) -> Path:
        """Write summary.json: flat, sorted, numbers finite (what could not be measured is null)."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in sorted(values.items())}
        path = self.path / "summary.json"
        write_atomic(path, json.dumps(clean, indent=1) + "\n", error=CheckpointError)
        return path

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Lines of metrics.jsonl; a line that a kill cut short ends them."""
        path = self.path / "metrics.jsonl"
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    values = json.loads(line)
                except json.JSONDecodeError:
                    return
                if not isinstance(values, dict) or "step" not in values:
                    return
                yield values

    def truncate_metrics(self, step: int) -> None:
        """Forget lines after `step`, which a resumed run will write again."""
        kept = [json.dumps(line) for line in self.metrics() if line["step"] <= step]
        if not is_follower() and (self.path / "metrics.jsonl").is_file():
            write_atomic(self.path / "metrics.jsonl", "".join(f"{line}\n" for line in kept), error=CheckpointError)

    def log(self, values: Mapping[str, float | int]) -> None:
        """Append one line to metrics.jsonl; what is not finite becomes null."""
        line = json.dumps({k: v if isinstance(v, int) or math.isfinite(v) else None for k, v in values.items()})
        try:
            with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as out:
                out.write(line + "\n")
        except OSError as err:
            raise CheckpointError(f"{self.path / 'metrics.jsonl'}: cannot be written ({err.strerror})") from err


def is_follower() -> bool:
    """Whether this is a further process of a run on several devices: it trains, and writes nothing."""
    return RUN_DIR in os.environ and int(os.environ.get("LOCAL_RANK", "0")) > 0


def newest_run(domain: str, verb: str = "pretrain", *, below: Path = Path("runs")) -> Path | None:
    """The newest finished run of a verb (one that has saved its model), or None."""
    runs = [p for p in (below / domain).glob(f"{verb}-*") if (p / "model" / "config.json").is_file()]
    return max(runs, key=lambda p: p.stat().st_mtime, default=None)


def saved_config(run: Path) -> dict[str, Any]:
    """config.yaml of a run."""
    path = run / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{run}: has no config.yaml; give the folder of a run")
    return load_yaml(path)


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, MB (and of its largest child process, whichever is more)."""
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    own, children = (resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, children) / unit


def environment(threads: int) -> dict[str, str]:
    """What a figure depends on beside the code: versions, processor, threads."""
    import importlib.metadata

    facts = {"python": platform.python_version(), "platform": platform.platform(), "processor": _processor()}
    facts["threads"] = f"{threads} of {os.cpu_count()}"
    for package in ("torch", "lightning", "numpy", "monai"):
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return facts


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
