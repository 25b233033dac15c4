"""Runs the command line of the toy domain in processes of their own, which can be killed and damaged at will.

They come from a fork server that has imported torch and lightning once, so that one costs a second and not ten.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

PRELOAD = ["lightning", "timm", "core.training.pretrain", "core.training.finetune", "toy_domain"]


def start(configs: Path, verb: str, argv: list[str], log: Path, sabotage: tuple[Any, ...] = ()) -> BaseProcess:
    """Begin `python -m domains.toy.<verb> argv`; what it prints goes to `log`. sabotage: (function, arguments)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=_child, args=(str(configs), verb, argv, str(log), sabotage))
    process.start()
    return process


def run(
    configs: Path, verb: str, argv: list[str], log: Path, sabotage: tuple[Any, ...] = (), timeout: float = 300
) -> int:
    """Exit code of the process; -9 when it was killed."""
    process = start(configs, verb, argv, log, sabotage)
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"no end after {timeout} s:\n{log.read_text()}")
    return process.exitcode


def use_toy_domain(configs: Path) -> None:
    """Let this process know the toy domain as if it were one of the suite's."""
    from core import hub
    from core.training import cli, finetune

    cli.CONFIGS = finetune.CONFIGS = configs
    hub.TRUSTED = (*hub.TRUSTED, "toy_domain.")


def _child(configs: str, verb: str, argv: list[str], log: str, sabotage: tuple[Any, ...]) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    from core.training import cli

    use_toy_domain(Path(configs))
    if sabotage:
        name, *arguments = sabotage
        globals()[name](*arguments)
    sys.stdout.flush()
    sys.exit(cli.main("toy", verb, argv))


def kill_at_call(module: str, name: str, k: int, within: str = "") -> None:
    """SIGKILL in place of the k-th call of a function (whose first argument's path holds `within`)."""
    _at_call(module, name, k, within, lambda: os.kill(os.getpid(), signal.SIGKILL))


def full_disk_at_call(module: str, name: str, k: int, within: str = "") -> None:
    """The k-th call and all later ones find the disk full."""

    def refuse() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _at_call(module, name, k, within, refuse, always=True)


def file_size_limit(size: int, after_step: int) -> None:
    """No file may grow beyond `size` bytes once a step is done."""
    import resource

    from core.training.module import TrainingModule

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    real = TrainingModule.optimizer_step

    def step(self: Any, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        if self.done + 1 == after_step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    TrainingModule.optimizer_step = step  # type: ignore[method-assign]


def signal_at_step(number: int, step: int) -> None:
    """Send a signal to the process itself in the middle of a training step."""
    from core.training.module import TrainingModule

    real = TrainingModule.training_step

    def hit(self: Any, *args: Any) -> Any:
        loss = real(self, *args)
        if self.done == step:
            os.kill(os.getpid(), number)
        return loss

    TrainingModule.training_step = hit  # type: ignore[method-assign]


def claim(torch_version: str) -> None:
    """Pretend to be another version of torch."""
    import torch

    torch.__version__ = torch_version


def loss_becomes(value: float, step: int) -> None:
    """A loss that is not finite from some step on."""
    from core.objectives.base import Objective

    real = Objective.forward

    def forward(self: Any, at: Any) -> Any:
        loss, logs = real(self, at)
        return (loss * value if at.index >= step else loss), logs

    Objective.forward = forward  # type: ignore[method-assign]


def _at_call(module: str, name: str, k: int, within: str, act: Any, always: bool = False) -> None:
    import importlib

    owner = importlib.import_module(module)
    real, count = getattr(owner, name), 0

    def replaced(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        if within in str(args[0] if args else ""):
            count += 1
            if count == k or (always and count > k):
                act()
        return real(*args, **kwargs)

    setattr(owner, name, replaced)


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl without what a clock says."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "samples_per_s"} for line in lines]
