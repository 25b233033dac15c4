"""Checkpoints: everything a run needs to go on as if it had never stopped, in safetensors and JSON, whole or absent.

A checkpoint is a folder `checkpoints/step-00000100` that appears by rename with a manifest of hashes. Older ones are
deleted only after a newer one is durable. Randomness is a function of (seed, step), so no generator state is kept.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.files import TEMPORARY_SUFFIX, atomic_folder, verify_manifest
from core.weights import owned

KEEP = 2  # the newest may be damaged by what killed the run


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory. weights: of model and objective. facts: what must not change between start and resume."""

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    progress: dict[str, Any]
    facts: dict[str, Any]


def save(
    folder: Path,
    *,
    step: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Mapping[str, Any],
    facts: Mapping[str, Any],
    keep: int | None = None,
) -> Path:
    """Write `folder/step-N` and delete what is older than the newest KEEP, except step `keep`.

    Raises CheckpointError when the disk refuses; what was there before stays whole.
    """
    from safetensors.torch import save_file

    target = folder / f"step-{step:08d}"
    tensors, groups = _flatten(optimizer.state_dict())
    if target.exists():  # a resumed run reaches a step again
        shutil.rmtree(target)
    with atomic_folder(target, error=CheckpointError) as partial:
        save_file(owned(module.state_dict()), partial / "weights.safetensors")
        save_file(tensors, partial / "optimizer.safetensors")
        state = {"step": step, "param_groups": groups, "progress": dict(progress), "facts": dict(facts)}
        (partial / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    for old in _folders(folder)[:-KEEP]:
        if keep is None or old.name != f"step-{keep:08d}":
            shutil.rmtree(old)
    return target


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; None when there is none at all.

    A damaged one is passed over with one warning. Raises CheckpointError when there are checkpoints and none is whole.
    What killed writers left is removed, so only the run's own process may call this.
    """
    for left in folder.glob(f".step-*{TEMPORARY_SUFFIX}"):
        shutil.rmtree(left, ignore_errors=True)
    found = _folders(folder)
    for path in reversed(found):
        try:
            faults = verify_manifest(path, full=True, error=CheckpointError)
        except CheckpointError as fault:
            faults = [str(fault)]
        if not faults:
            return _read(path)
        warnings.warn(
            f"checkpoint {path} is damaged ({faults[0]}); taking the one before", RuntimeWarning, stacklevel=2
        )
    if found:
        raise CheckpointError(f"{folder}: none of its {len(found)} checkpoints is whole; start the run anew")
    return None


def load_step(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of one step. Raises CheckpointError when it is not there or damaged."""
    path = folder / f"step-{step:08d}"
    if not path.is_dir():
        raise CheckpointError(f"{path}: no checkpoint of step {step}; start the run anew")
    faults = verify_manifest(path, full=True, error=CheckpointError)
    if faults:
        raise CheckpointError(f"{path}: is damaged ({faults[0]}); start the run anew")
    return _read(path)


def take_best(folder: Path, module: nn.Module) -> int | None:
    """Load the weights of the step with the best validation into `module`; that step. None, and the weights as they
    are, where nothing was validated."""
    latest = load_latest(folder)
    best = None if latest is None else latest.progress["best"]["step"]
    if best is not None:
        module.load_state_dict(load_step(folder, best).weights)
    return best


def refuse_change(checkpoint: Checkpoint, facts: Mapping[str, Any]) -> None:
    """Raises CheckpointError naming each fact that differs from when the checkpoint was written, with both values."""
    lines = [f"  - {name}: was {then}, is {now}" for name, then, now in _changes(checkpoint.facts, facts)]
    if lines:
        raise CheckpointError(
            "the run cannot be continued to the same result, because this has changed:\n"
            + "\n".join(lines)
            + "\nRestore it, or start a new run"
        )


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load an optimiser state of `Checkpoint.optimizer`.

    Each tensor takes the memory layout of its parameter, as the optimiser makes them: kernels for other strides may
    round differently, and a resumed run has to end in the same bits.
    """
    optimizer.load_state_dict(dict(saved))
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _changes(then: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value then, value now) of every leaf that differs."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in [*then, *(n for n in now if n not in then)]:
            below = f"{key}.{name}" if key else str(name)
            yield from _changes(then.get(name, "absent"), now.get(name, "absent"), below)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for position, (a, b) in enumerate(zip(then, now)):
            yield from _changes(a, b, f"{key}.{position}")
    elif then != now:
        yield key, then, now


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.is_dir() and p.name[5:].isdigit())


def _flatten(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    tensors = {}
    for index, entry in state["state"].items():
        for name, value in entry.items():
            tensors[f"{index}.{name}"] = torch.as_tensor(value)
    return owned(tensors), [dict(group) for group in state["param_groups"]]


def _read(path: Path) -> Checkpoint:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path / "weights.safetensors")
        flat = load_file(path / "optimizer.safetensors")
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        entries: dict[int, dict[str, Tensor]] = {}
        for key, tensor in flat.items():
            index, _, name = key.partition(".")
            entries.setdefault(int(index), {})[name] = tensor
        optimizer = {"state": entries, "param_groups": state["param_groups"]}
        return Checkpoint(state["step"], weights, optimizer, state["progress"], state["facts"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as err:
        raise CheckpointError(f"{path}: cannot be read ({type(err).__name__}: {err}); start the run anew") from err
