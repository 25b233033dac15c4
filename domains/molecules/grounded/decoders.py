"""Link decoders over node states: LayerNorm, a scale, and a published score of (head, relation, tail).

Shape legend: S = triples, K = candidates of each, D = width of a node state.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from domains.molecules.kg.links import Links
from domains.molecules.kg.models import DistMult, RotatE, TransE


class LinkDecoder(nn.Module):
    """Scores of links between node states (Yasunaga et al. 2022). margin: gamma of a distance score, 0 for products.

    scale: factor on the normalised states.
    """

    margin: float = 0.0

    def __init__(self, *, links: Links, scale: float) -> None:
        super().__init__()
        self.emb_LayerNorm = nn.LayerNorm(links.width)
        self.links, self.scale = links, scale

    def states(self, x: Tensor) -> Tensor:
        """(..., D) float32 or better, as the scores read them."""
        with torch.autocast(x.device.type, enabled=False):
            return self.emb_LayerNorm(x.to(self.emb_LayerNorm.weight.dtype)) * self.scale

    def scores(self, known_SD: Tensor, relation_S: Tensor, candidate_SKD: Tensor, *, heads: bool) -> Tensor:
        """(S, K) scores of candidates for the missing end, higher = better; `margin` is not in them. heads: whether the
        heads are missing. States come from `states`."""
        point_SD = self.links.query(known_SD, relation_S, relation_S, heads=heads)
        return self.links.match.pairs(point_SD, candidate_SKD)

    def relation_size(self) -> Tensor:
        """Mean square of the relations' numbers: the regulariser."""
        return torch.cat([p.flatten() for p in self.links.parameters()]).float().square().mean()


class DistMultDecoder(LinkDecoder):
    """sum_d h r t / sqrt(D), relations uniform in +-1 / sqrt(D)."""

    def __init__(self, *, relations: int, width: int) -> None:
        links = DistMult(relations=relations, dim=width)
        super().__init__(links=links, scale=width**-0.25)
        nn.init.uniform_(links.relation, -(width**-0.5), width**-0.5)


class TransEDecoder(LinkDecoder):
    """gamma - ||h + r - t||; states are brought to the range of TransE's first values, (gamma + 2) / D."""

    def __init__(self, *, relations: int, width: int, gamma: float = 12.0, p: Literal[1, 2] = 2) -> None:
        reach = (gamma + 2) / width
        links = TransE(relations=relations, dim=width, p=p)
        super().__init__(links=links, scale=reach / 3**0.5)
        self.margin = gamma
        nn.init.uniform_(links.relation, -reach, reach)


class RotatEDecoder(LinkDecoder):
    """gamma - |h r - t| with rotations r; states as in TransE, half of them the imaginary parts."""

    def __init__(self, *, relations: int, width: int, gamma: float = 12.0) -> None:
        if width % 2:
            raise ConfigError(f"RotatEDecoder: width is {width}; give an even number, half are imaginary parts")
        reach = (gamma + 2) / width
        super().__init__(links=RotatE(relations=relations, dim=width // 2), scale=reach / 3**0.5)
        self.margin, self.reach = gamma, reach

    def relation_size(self) -> Tensor:
        """Of angles in the unit of the states, in which pi is (gamma + 2) / D."""
        return super().relation_size() * (self.reach / math.pi) ** 2
