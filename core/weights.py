"""State dicts as files need them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


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
