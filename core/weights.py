"""State dicts as files need them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def owned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, each with a memory of its own: tied weights are written under every name."""
    seen: set[int] = set()
    out = {}
    for name, tensor in state.items():
        value = tensor.detach().cpu().contiguous()
        if value.numel() > 0:
            start = value.untyped_storage().data_ptr()
            value = value.clone() if start in seen else value
            seen.add(start)
        out[name] = value
    return out


def fingerprint(module: nn.Module) -> str:
    """32 hex digits that change with any weight or buffer: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, tensor in owned(module.state_dict()).items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()[:32]
