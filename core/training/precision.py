"""Which numbers a run computes in, and on what."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from core.config.schema import TrainerSettings
from core.errors import ConfigError
from core.machine import cores
from core.training.memory import keep_freed_memory


@dataclass(frozen=True, slots=True)
class Compute:
    """Device and precision of a run, resolved once."""

    device: torch.device
    precision: str  # "32", "bf16", "16"
    threads: int

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which forwards run outside the trainer."""
        if self.precision == "32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def __str__(self) -> str:
        return f"{self.device.type}, {self.precision}, {self.threads} threads"

    @property
    def lightning_precision(self) -> Any:
        return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[self.precision]


def resolve(settings: TrainerSettings, *, threads: int | None = None) -> Compute:
    """Turn `auto` into facts and set the number of CPU threads, on which the order of sums depends.

    threads: what `threads: 0` means, all cores when None; a resumed run gives the number it was started with.
    Raises ConfigError for an accelerator that is not there, or 16-bit floats on a CPU.
    """
    name = settings.accelerator
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    name = {"gpu": "cuda"}.get(name, name)
    if name not in {"cpu", "cuda", "mps"}:
        raise ConfigError(f"trainer.accelerator: is '{settings.accelerator}'; valid: auto, cpu, cuda, mps")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("trainer.accelerator: cuda was asked for and this torch sees no CUDA device; use auto or cpu")
    threads = settings.threads or threads or cores()
    torch.set_num_threads(threads)
    if name == "cpu":
        keep_freed_memory()
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if _computes_bf16(name) else "32"
    if precision == "16" and name == "cpu":
        raise ConfigError("trainer.precision: 16 needs a GPU; on a CPU use bf16, 32 or auto")
    return Compute(torch.device(name), precision, threads)


def _computes_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        # Tile units alone make bf16 pay: with AVX512-BF16 only, autocast was measured 1.1x to 2.3x slower than fp32.
        return bool(torch.cpu._is_amx_tile_supported())
    return False
