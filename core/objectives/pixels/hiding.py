"""Rows that are shown fewer modalities than they have, so that a model learns to do without.

Shape legend: B = rows of the batch, M = modalities.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.types import Batch


def hide_some(batch: Batch, modalities: Sequence[str], *, share: float, generator: torch.Generator) -> Batch:
    """The batch in which a share of the rows with several modalities keeps a random, non-empty part of them."""
    if share == 0 or len(modalities) < 2:
        return batch
    present_BM = torch.stack([batch.present[name].cpu() for name in modalities], dim=1)
    drawn_BM = torch.rand(present_BM.shape, generator=generator).masked_fill(~present_BM, -1)
    count_B = present_BM.sum(1)
    fewer_B = 1 + (torch.rand(len(batch), generator=generator) * (count_B - 1)).long().clamp_min(0)
    hit_B = torch.rand(len(batch), generator=generator) < share
    most_B = torch.where(hit_B & (count_B > 1), fewer_B, count_B)
    kept_BM = present_BM & (drawn_BM.argsort(1, descending=True).argsort(1) < most_B[:, None])
    inputs, present = {}, {}
    for i, name in enumerate(modalities):
        kept_B = kept_BM[:, i].to(batch.present[name].device)
        if kept_B.any():
            inputs[name] = batch.inputs[name].rows(kept_B[batch.present[name]].to(batch.inputs[name].x.device))
        present[name] = kept_B
    return Batch(batch.ids, inputs, present)
