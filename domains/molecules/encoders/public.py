"""Weights of public GIN checkpoints (Hu et al. 2020, GraphMVP, MolFM) into our encoder, with a strict report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from core.errors import CheckpointError
from domains.molecules.encoders.gin import GIN

# What stands before the names of Hu et al. in the checkpoints of those who took the network over
PREFIXES = ("structure_encoder.", "graph_encoder.", "gnn.", "molecule_model.", "encoder.", "module.", "model.")
ENTRIES = ("model", "state_dict")  # where a checkpoint may keep its weights


def read_public(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` file; nothing of it is run. Raises CheckpointError naming the file."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as err:
        raise CheckpointError(f"{path}: no such file; public checkpoints have to be fetched by hand") from err
    except Exception as err:  # whatever an unreadable or unsafe archive raises
        raise CheckpointError(f"{path}: not a file of tensors alone ({str(err).splitlines()[0]})") from None
    for entry in ENTRIES:
        if isinstance(found, Mapping) and isinstance(found.get(entry), Mapping):
            found = found[entry]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise CheckpointError(f"{path}: holds no state dict (a mapping of names to tensors)")
    return dict(found)


def load_public(encoder: GIN, tensors: Mapping[str, Tensor]) -> list[str]:
    """Copy the weights of a public checkpoint into `encoder`; returns the names that belong to other parts of it.

    Names are those of Hu et al., with any of `PREFIXES` in front. Raises CheckpointError that lists every weight that
    is missing or has another shape; then nothing is copied.
    """
    own = encoder.state_dict()
    named = {_plain(name): tensor for name, tensor in tensors.items()}
    needed = [name for name in own if not name.startswith("pool.")]
    missing = [name for name in needed if name not in named and not name.endswith("num_batches_tracked")]
    shapes = [
        f"{name}: {tuple(named[name].shape)} instead of {tuple(own[name].shape)}"
        for name in needed
        if name in named and named[name].shape != own[name].shape
    ]
    if missing or shapes:
        raise CheckpointError(
            f"the checkpoint does not fit GIN of depth {encoder.depth}, width {encoder.width}, vocabulary "
            f"'{encoder.vocabulary}'; missing: {', '.join(missing) or 'none'}; "
            f"other shapes: {'; '.join(shapes) or 'none'}"
        )
    encoder.load_state_dict({**own, **{name: named[name] for name in needed if name in named}})
    return sorted(name for name in tensors if _plain(name) not in own)


def _plain(name: str) -> str:
    """A name without what others put in front of it."""
    while True:
        prefix = next((p for p in PREFIXES if name.startswith(p)), None)
        if prefix is None:
            return name
        name = name.removeprefix(prefix)
