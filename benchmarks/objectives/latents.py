"""Two modalities as noisy images of one latent. Legend: N = rows, K = latent width, F = features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.objectives.towers import generator


def latent_pairs(
    counts: Sequence[int], *, seed: int, latent: int, features: int, noise: float
) -> list[dict[str, Tensor]]:
    """For each count a set of rows, "image" and "text" (N, F): tanh of a linear map of the latent, plus `noise`."""
    draw = generator(seed)
    maps = {m: torch.randn(latent, features, generator=draw) / latent**0.5 for m in ("image", "text")}
    found = []
    for count in counts:
        z_NK = torch.randn(count, latent, generator=draw)
        found.append(
            {m: torch.tanh(z_NK @ w) + noise * torch.randn(count, features, generator=draw) for m, w in maps.items()}
        )
    return found
