"""A fine-tuned model in its run folder: finetuned.safetensors, and beside it what it takes to build it without data.

finetuned.json   encoder (the pretrained model's node), modalities, task, facts of the data, processors
processors/<m>/  what the processor of modality m learned
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.config.check import FaultFinder
from core.data.processor import Processor
from core.errors import CheckpointError, HeptadError
from core.files import sha256_of, write_atomic
from core.hub import built_part, load_state, read_weights, require_trusted, without_downloads
from core.models.dual_encoder import DualEncoder
from core.training.tasks import Downstream, Task
from core.weights import owned

FORMAT = 1
WEIGHTS, ABOUT, PROCESSORS = "finetuned.safetensors", "finetuned.json", "processors"
_KEYS = {"encoder": dict, "modalities": list, "task": dict, "facts": dict, "processors": dict}


@dataclass(frozen=True, slots=True)
class Finetuned:
    """model: in evaluation mode; what it is called with, see `Downstream`. fingerprint: of the weights."""

    model: Downstream
    task: Task
    processors: dict[str, Processor]
    fingerprint: str


def save_finetuned(
    run: Path,
    model: Downstream,
    *,
    encoder_node: Mapping[str, Any],
    task_node: Mapping[str, Any],
    facts: Mapping[str, Any],
    processors: Mapping[str, Processor],
    processor_nodes: Mapping[str, Any],
    shares: Mapping[str, str] | None = None,
) -> None:
    """Write weights, description and processors into the run; the description last, so that it never stands alone."""
    from safetensors.torch import save

    write_atomic(run / WEIGHTS, save(owned(model.state_dict())), error=CheckpointError)
    for modality, processor in processors.items():
        (run / PROCESSORS / modality).mkdir(parents=True, exist_ok=True)
        processor.save(run / PROCESSORS / modality)
    about = {
        "format": FORMAT, "encoder": encoder_node, "modalities": list(model.modalities), "task": task_node,
        "facts": facts, "shares": {m: own for m, own in (shares or {}).items() if m != own},
        "processors": {modality: processor_nodes[modality] for modality in processors},
    }  # fmt: skip
    write_atomic(run / ABOUT, json.dumps(about, indent=1), error=CheckpointError)


def load_finetuned(run: Path | str, *, device: torch.device | str = "cpu") -> Finetuned:
    """The model of a finished fine-tuning run; neither its data nor the pretrained run is needed.

    Raises CheckpointError naming the file that is missing, damaged or does not fit.
    """
    run = Path(run).expanduser()
    about = about_finetuned(run)
    path = run / ABOUT
    pretrained = built_part(path, "encoder", without_downloads(about["encoder"]))
    assert isinstance(pretrained, DualEncoder)
    task = built_part(path, "task", about["task"])
    assert isinstance(task, Task)
    modalities = about["modalities"]
    try:
        shares = about.get("shares", {})
        encoder = pretrained.encoder_of_all(encoded({name: shares.get(name, name) for name in modalities}))
        head = task.head_from(encoder, about["facts"])
    except (HeptadError, KeyError, ValueError, TypeError, RuntimeError) as err:
        raise CheckpointError(f"{path}: the head cannot be built ({err}); copy the run again") from err
    model = Downstream(head, encoder=encoder, modality=modalities)
    load_state(model, read_weights(run / WEIGHTS), run / WEIGHTS)
    processors: dict[str, Processor] = {}
    for name, node in about["processors"].items():
        processors[name] = built_part(path, f"processors.{name}", node)
        processors[name].restore(run / PROCESSORS / name)
    return Finetuned(model.to(device).eval(), task, processors, sha256_of(run / WEIGHTS)[:32])


def encoded(own: Mapping[str, str]) -> list[str]:
    """The pretrained modalities that are read, each once. own: modality -> the pretrained one it is encoded as."""
    return list(dict.fromkeys(own.values()))


def about_finetuned(run: Path) -> dict[str, Any]:
    """What finetuned.json of a run says, checked. Raises CheckpointError naming what is missing or does not fit."""
    path = run / ABOUT
    if not path.is_file():
        raise CheckpointError(f"{run}: holds no fine-tuned model (no {ABOUT}); give a finished run of finetune")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        raise CheckpointError(f"{path}: cannot be read ({err}); copy the run again") from err
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else type(about).__name__
        raise CheckpointError(f"{path}: format {found!r}, this version reads format {FORMAT}")
    for key, kind in _KEYS.items():
        if not isinstance(about.get(key), kind) or (kind is list and not about[key]):
            raise CheckpointError(f"{path}: '{key}' is missing; copy the run again")
    for modality in about["processors"]:
        if not modality.replace("-", "_").isidentifier():
            raise CheckpointError(f"{path}: '{modality}' cannot be the name of a modality")
    require_trusted(about, path)
    finder = FaultFinder()
    finder.node("encoder", about["encoder"], DualEncoder)
    finder.node("task", about["task"], Task)
    for modality, node in about["processors"].items():
        finder.node(f"processors.{modality}", node, Processor)
    if finder.faults:
        raise CheckpointError(f"{path}: does not fit this version:\n" + "\n".join(f"  - {f}" for f in finder.faults))
    return about
