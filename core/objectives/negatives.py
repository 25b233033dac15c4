"""Which pairs a matching term judges: true ones, and false ones drawn at random or by how hard they are.

Shape legend: n, m = rows of the first and the second modality, p = pairs that are judged, R = rows of a block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.candidates import BLOCK, Candidates


class Judged(NamedTuple):
    """Pairs to judge: first[k] and second[k] are positions among the candidates, match[k] is 1 for a true pair."""

    first: Tensor
    second: Tensor
    match: Tensor


class Negatives(nn.Module, ABC):
    needs_similarity: bool = False

    @abstractmethod
    def judged(self, candidates: Candidates, generator: torch.Generator) -> Judged:
        """Rows without any admissible false partner give no false pair. All on the CPU."""


class RandomNegatives(Negatives):
    """Half the rows keep a partner of theirs, the others' partner gets that of a uniformly drawn other row."""

    def judged(self, candidates: Candidates, generator: torch.Generator) -> Judged:
        order = torch.randperm(candidates.firsts, generator=generator)
        half = candidates.firsts // 2
        second = partners(candidates, torch.rand(candidates.seconds, generator=generator))[order]
        other = draw(second[half:], candidates.of_second, lambda cosines, barred: (~barred).double(), generator)
        return join((order[:half], second[:half], 1), (other, second[half:], 0))


class HardNegatives(Negatives):
    """One true and two false pairs per row: its first modality with a drawn second, its second with a drawn first.

    A false partner is drawn with probability softmax(cosine / temperature) + 1e-5 over the admissible rows. A row with
    several true partners draws one of them, uniformly; none of them is ever a false one.
    """

    needs_similarity = True

    def __init__(self, *, temperature: float = 0.07) -> None:
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"{type(self).__name__}: temperature is {temperature}; give a value above 0")
        self.temperature = temperature

    def judged(self, candidates: Candidates, generator: torch.Generator) -> Judged:
        rows = torch.arange(candidates.firsts)
        second = partners(candidates, self.order(candidates, generator))
        to_second = draw(rows, candidates.of_first, self._weights, generator)
        to_first = draw(second, candidates.of_second, self._weights, generator)
        return join((rows, second, 1), (rows, to_second, 0), (to_first, second, 0))

    def order(self, candidates: Candidates, generator: torch.Generator) -> Tensor:
        """(m,) the lowest of a row's own partners is judged with it."""
        return torch.rand(candidates.seconds, generator=generator)

    def _weights(self, cosines_RC: Tensor | None, barred_RC: Tensor) -> Tensor:
        assert cosines_RC is not None  # `needs_similarity`
        return ((cosines_RC.double() / self.temperature).softmax(1) + 1e-5).masked_fill(barred_RC, 0)


class WorstAlignedNegatives(HardNegatives):
    """Hard negatives of which the true partner is the one that fits worst (1-to-K, Nie et al. 2024).

    Among a row's own partners (one text in several languages), partner k is drawn with probability proportional to
    max p - p_k, p = exp(cosine / temperature): the best one never, unless all are equal.
    """

    def order(self, candidates: Candidates, generator: torch.Generator) -> Tensor:
        p_m = (candidates.own().double() / self.temperature).exp()
        best_n = p_m.new_zeros(candidates.firsts).scatter_reduce(0, candidates.owner, p_m, "amax")
        behind_m = (1 - p_m / best_n[candidates.owner]).clamp_min(1e-12)
        # the smallest of exponential variates with rates w is number k with probability w_k / sum w
        uniform_m = 1 - torch.rand(candidates.seconds, generator=generator, dtype=torch.float64)
        return -uniform_m.log() / behind_m


def partners(candidates: Candidates, order_m: Tensor) -> Tensor:
    """(n,) of each first, that of its own seconds which comes first in `order`; -1 where it has none."""
    by_order = order_m.argsort(stable=True)
    by_owner = by_order[candidates.owner[by_order].argsort(stable=True)]
    owner = candidates.owner[by_owner]
    lead = torch.ones(len(owner), dtype=torch.bool)
    lead[1:] = owner[1:] != owner[:-1]
    out = torch.full((candidates.firsts,), -1)
    out[owner[lead]] = by_owner[lead]
    return out


def draw(
    rows_R: Tensor,
    ask: Callable[[Tensor], tuple[Tensor | None, Tensor]],
    weigh: Callable[[Tensor | None, Tensor], Tensor],
    generator: torch.Generator,
) -> Tensor:
    """One column per row, drawn by weight, block by block; -1 where all weights are 0 or the row itself is -1."""
    out = torch.full((len(rows_R),), -1)
    for start in range(0, len(rows_R), BLOCK):
        block = rows_R[start : start + BLOCK]
        weights = weigh(*ask(block.clamp_min(0)))
        possible = (weights.sum(1) > 0) & (block >= 0)
        if possible.any():
            found = torch.multinomial(weights[possible], 1, generator=generator)[:, 0]
            out[start : start + BLOCK][possible] = found
    return out


def join(*parts: tuple[Tensor, Tensor, int]) -> Judged:
    """Pairs one behind the other, without those that have no partner (-1)."""
    first, second = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
    match = torch.cat([torch.full((len(p[0]),), p[2]) for p in parts])
    valid = (first >= 0) & (second >= 0)
    return Judged(first[valid], second[valid], match[valid])
