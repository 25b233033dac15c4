"""One feature per public item from those of many clients (CreamFL, Yu et al. 2023).

Shape legend: C = clients that know the modality, M = public items, D = width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import ConfigError
from core.federated.bank import own_log_prob
from core.objectives.contrast.kernel import TILE


def client_weights(
    features: Sequence[Tensor], bank_MD: Tensor, *, scale: float = 1.0, tile: tuple[int, int] = TILE
) -> Tensor:
    """(C, M): per item, softmax over clients of log p(own pair), which sums to 1.

    features: (M, D) of each client, the items in the bank's order. bank: the server's features of the OTHER modality,
    so that p is how well a client tells an item's partner from all others; it is of unit vectors in CreamFL, with
    scale 1. Memory grows with the tile, never with M x M. Raises ConfigError for features of another shape.
    """
    if not features:
        raise ConfigError("aggregation: no client knows the modality; leave it to the server")
    for c, f_MD in enumerate(features):
        if f_MD.shape != bank_MD.shape:
            raise ConfigError(
                f"aggregation: client {c} sends {tuple(f_MD.shape)}, the bank is {tuple(bank_MD.shape)}; every client "
                "sends one vector of the shared width per public item"
            )
    with torch.no_grad():
        own_M = torch.arange(len(bank_MD), device=bank_MD.device)
        log_p_CM = torch.stack([own_log_prob(f_MD, bank_MD, own_M, scale=scale, tile=tile) for f_MD in features])
        return log_p_CM.softmax(dim=0)  # which subtracts the maximum


def aggregate(
    features: Sequence[Tensor], bank_MD: Tensor, *, scale: float = 1.0, tile: tuple[int, int] = TILE
) -> tuple[Tensor, Tensor]:
    """((M, D) weighted sum of the clients' features, (C, M) weights). The sum is not normalised again."""
    weight_CM = client_weights(features, bank_MD, scale=scale, tile=tile)
    out_MD = torch.zeros_like(features[0], dtype=weight_CM.dtype)
    with torch.no_grad():
        for f_MD, weight_M in zip(features, weight_CM, strict=True):
            out_MD.addcmul_(f_MD.to(out_MD), weight_M[:, None])
    return out_MD, weight_CM
