"""A bounded memory of vectors and their ids: first in, first out, part of the checkpoint.

Shape legend: Q = slots, F = filled slots, k = rows that come in, E = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fifo(nn.Module):
    """Buffers, so that a checkpoint carries them: x (Q, E) float32, content (Q,) int64, and how many rows ever came in.

    Slots that were never filled are never shown; content ids may be any number, 0 and -1 included.
    """

    x: Tensor
    content: Tensor
    count: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("x", torch.zeros(size, width))
        self.register_buffer("content", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return min(int(self.count), len(self.x))

    @torch.no_grad()
    def push(self, x_kE: Tensor, content_k: Tensor) -> None:
        """Take in k rows, over the oldest ones; of more than Q rows the last Q stay. k and Q need not divide."""
        size, new = len(self.x), len(x_kE)
        skipped = max(0, new - size)
        slots = (int(self.count) + torch.arange(skipped, new, device=self.x.device)) % max(size, 1)
        self.x[slots] = x_kE[skipped:].detach().to(self.x)
        self.content[slots] = content_k[skipped:].to(self.content)
        self.count += new

    def shown(self, coming: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """x (F, E) and content (F,), in no order that means anything; item (F,): ids below 0, one per slot, so that no
        slot is the same item as a row of the batch. coming: without the slots that so many new rows would take."""
        n, size, device = len(self), len(self.x), self.x.device
        item_F = -1 - torch.arange(n, device=device)
        if coming == 0:
            return self.x[:n], self.content[:n], item_F
        stays_Q = torch.ones(size, dtype=torch.bool, device=device)
        stays_Q[(int(self.count) + torch.arange(min(coming, size), device=device)) % max(size, 1)] = False
        return self.x[:n][stays_Q[:n]], self.content[:n][stays_Q[:n]], item_F[stays_Q[:n]]
