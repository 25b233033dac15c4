"""Batch normalisation whose statistics belong to a kind of input, while its weights serve all kinds.

Shape legend: V = rows, C = channels, H, W = cells, K = kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchNormPerKind(nn.Module):
    """Batch norm (Ioffe and Szegedy 2015) with running statistics, (K, C), for each of K kinds of input.

    The domain-specific batch norm of Chang et al. 2019, with shared scale and shift, or without (affine False).
    (V, C, H, W) or (V, C) -> the same.

    An encoder that serves pictures and slices of volumes sees two distributions; one set of running statistics would
    fit neither in evaluation. `kind` is chosen by `using_kind`. A batch of one cell per channel is normalised by the
    running statistics.
    """

    running_means: Tensor
    running_vars: Tensor

    def __init__(
        self, *, channels: int, kinds: int = 2, momentum: float = 0.1, eps: float = 1e-5, affine: bool = True
    ) -> None:
        super().__init__()
        self.momentum, self.eps, self.kind = momentum, eps, 0
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_means", torch.zeros(kinds, channels))
        self.register_buffer("running_vars", torch.ones(kinds, channels))

    def forward(self, x_VCHW: Tensor) -> Tensor:
        measured = self.training and x_VCHW.numel() > x_VCHW.shape[1]
        mean_C, var_C = self.running_means[self.kind], self.running_vars[self.kind]
        return F.batch_norm(x_VCHW, mean_C, var_C, self.weight, self.bias, measured, self.momentum, self.eps)


@contextmanager
def using_kind(module: nn.Module, kind: int) -> Iterator[None]:
    """Let every `BatchNormPerKind` below `module` use the statistics of `kind`."""
    layers = [layer for layer in module.modules() if isinstance(layer, BatchNormPerKind)]
    before = [layer.kind for layer in layers]
    for layer in layers:
        layer.kind = kind
    try:
        yield
    finally:
        for layer, old in zip(layers, before):
            layer.kind = old
