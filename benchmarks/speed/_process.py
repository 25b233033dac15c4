"""One measurement, one process: what it uses of memory, and how it is started."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

MIB = 2**20


def resident() -> int:
    """Bytes of this process in memory now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Largest number of bytes of this process in memory so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent had in memory when it started this process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if platform.system() == "Darwin" else used * 1024


def in_fresh_process(module: str, arguments: list[str], threads: int) -> dict[str, float]:
    """Run a module with `arguments` in a process of its own; its last line is the answer, in JSON."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the measurement failed (exit code {done.returncode}): {' '.join(command)}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer
