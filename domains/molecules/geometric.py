"""Layers of torch-geometric by name, imported when one is built."""

from __future__ import annotations

from torch import nn

from core.errors import missing_extra


def layer(name: str) -> type[nn.Module]:
    """A class of `torch_geometric.nn`. Raises ConfigError when the package is not installed."""
    try:
        import torch_geometric.nn as layers
    except ImportError as err:
        raise missing_extra("torch_geometric", "molecules") from err
    found: type[nn.Module] = getattr(layers, name)
    return found
