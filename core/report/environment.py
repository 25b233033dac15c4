"""What a result depends on beyond its config: versions, processor, threads, seed. Names no user, host or path."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path

from core.machine import cores

_PACKAGES = (
    "heptad", "torch", "lightning", "transformers", "tokenizers", "timm", "monai", "numpy", "scipy", "scikit-learn",
)  # fmt: skip


def environment(*, seed: int | None = None, precision: str | None = None) -> dict[str, str]:
    """Name -> text, in the order to show. Threads are torch's if torch is loaded, otherwise those of the process."""
    out = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    out["processor"] = _processor()
    out["cores"] = str(cores())
    torch = sys.modules.get("torch")
    if torch is not None:
        out["threads"] = str(torch.get_num_threads())
        out["device"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    if precision is not None:
        out["precision"] = precision
    if seed is not None:
        out["seed"] = str(seed)
    for package in _PACKAGES:
        try:
            out[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def _processor() -> str:
    info = Path("/proc/cpuinfo")  # platform.processor() is empty on most Linux systems
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
