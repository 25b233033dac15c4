"""Matching: does this text describe this image? Two logits from the fused joint vector.

M3AE (Chen et al. 2022) with `RandomNegatives`, ALBEF (Li et al. 2021) with `HardNegatives`.
Shape legend: n = rows that hold both modalities, p = pairs that are judged, E = width of the shared space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError, nearest
from core.objectives.base import Step, Term
from core.objectives.tokens.sources import fusion_of, select, tokens_of


class Judged(NamedTuple):
    """Pairs to judge: first[k] and second[k] are positions among the n rows, match[k] is 1 for a true pair."""

    first: Tensor
    second: Tensor
    match: Tensor


class Negatives(nn.Module, ABC):
    @abstractmethod
    def judged(self, similarity_nn: Tensor, same_nn: Tensor, generator: torch.Generator) -> Judged:
        """similarity: detached cosines, first modality by second, on the CPU. same: True where a pair may not serve as
        a false one. Rows without any admissible false partner give no false pair."""

    needs_similarity: bool = False


class RandomNegatives(Negatives):
    """Half the rows keep their partner in the first modality, the others get that of a uniformly drawn other row."""

    def judged(self, similarity_nn: Tensor, same_nn: Tensor, generator: torch.Generator) -> Judged:
        n = len(same_nn)
        order = torch.randperm(n, generator=generator)
        true, false = order[: n // 2], order[n // 2 :]
        other = _draw((~same_nn.T).double(), false, generator)
        return _join((true, true, 1), (other, false, 0))


class HardNegatives(Negatives):
    """One true and two false pairs per row: its first modality with a drawn second, its second with a drawn first.

    A false partner is drawn with probability softmax(cosine / temperature) + 1e-5 over the admissible rows.
    """

    needs_similarity = True

    def __init__(self, *, temperature: float = 0.07) -> None:
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"HardNegatives: temperature is {temperature}; give a value above 0")
        self.temperature = temperature

    def judged(self, similarity_nn: Tensor, same_nn: Tensor, generator: torch.Generator) -> Judged:
        rows = torch.arange(len(same_nn))
        logits_nn = similarity_nn.double() / self.temperature
        to_second, to_first = (
            (z.softmax(1) + 1e-5).masked_fill(same, 0) for z, same in ((logits_nn, same_nn), (logits_nn.T, same_nn.T))
        )
        return _join(
            (rows, rows, 1), (rows, _draw(to_second, rows, generator), 0), (_draw(to_first, rows, generator), rows, 0)
        )


class Matching(Term):
    """Cross entropy of true and false pairs, in nats (undecided: ln 2). Values: "loss", "accuracy".

    With fewer than two rows, or no admissible false pair, the loss is an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        first: str,
        second: str,
        width: int,
        negatives: Negatives | None = None,
        keys: list[str] | None = None,
        name: str | None = None,
    ) -> None:
        """first, second: modalities. width: of the fusion's joint vector. negatives: random ones when None.
        keys: names of `Batch.keys`; rows that agree in any of them are never a false pair. None: the sample and the
        contents of both modalities, as far as the batch has them."""
        super().__init__()
        self.first, self.second, self.width, self.keys = first, second, width, keys
        self.negatives = RandomNegatives() if negatives is None else negatives
        self.head = nn.Linear(width, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.name = f"matching_{first}_{second}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        rows_a, rows_b, rows = step.paired_rows(self.first, self.second)
        if len(rows) < 2:
            return {"loss": step.zero()}
        same_nn = self._same(step, rows)
        judged = self.negatives.judged(self._similarity(step, rows_a, rows_b), same_nn, step.generator)
        if bool(judged.match.all()):
            return {"loss": step.zero()}
        fusion = fusion_of(step, f"term '{self.name}'")
        joint = fusion(
            {
                self.first: select(tokens_of(step.encoded(self.first), self.first), rows_a[judged.first]),
                self.second: select(tokens_of(step.encoded(self.second), self.second), rows_b[judged.second]),
            }
        ).joint
        if joint.shape[-1] != self.width:
            raise ConfigError(
                f"term '{self.name}': width is {self.width}, but the fusion's joint vector has {joint.shape[-1]}"
            )
        logits_p2 = self.head(joint)
        logits_p2 = logits_p2 if logits_p2.element_size() > 4 else logits_p2.float()
        match = judged.match.to(logits_p2.device)
        accuracy = (logits_p2.detach().argmax(-1) == match).float().mean()
        return {"loss": F.cross_entropy(logits_p2, match), "accuracy": accuracy}

    def _same(self, step: Step, rows: Tensor) -> Tensor:
        """(n, n) bool on the CPU: pairs that may not serve as false ones."""
        names = self.keys
        if names is None:
            names = [name for name in ("sample", self.first, self.second) if name in step.batch.keys]
        same_nn = torch.eye(len(rows), dtype=torch.bool)
        for name in names:
            if name not in step.batch.keys:
                raise ConfigError(f"term '{self.name}': the batch has no key '{name}'{nearest(name, step.batch.keys)}")
            key_n = step.batch.keys[name][rows].cpu()
            same_nn |= key_n[:, None] == key_n
        return same_nn

    @torch.no_grad()
    def _similarity(self, step: Step, rows_a: Tensor, rows_b: Tensor) -> Tensor:
        if not self.negatives.needs_similarity:
            return torch.empty(0, 0)
        with torch.enable_grad():  # the embedding is shared with terms that need its graph
            pair = step.embedding(self.first)[rows_a], step.embedding(self.second)[rows_b]
        a_nE, b_nE = (F.normalize(x.detach().float(), dim=-1) for x in pair)
        return (a_nE @ b_nE.T).cpu()


def _draw(weights_nn: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
    """One column per row of `rows`, drawn by weight; -1 where all weights are 0."""
    weights = weights_nn[rows]
    possible = weights.sum(1) > 0
    out = torch.full((len(rows),), -1)
    if possible.any():
        out[possible] = torch.multinomial(weights[possible], 1, generator=generator)[:, 0]
    return out


def _join(*parts: tuple[Tensor, Tensor, int]) -> Judged:
    """Pairs one behind the other, without those that have no partner (-1)."""
    first, second = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
    match = torch.cat([torch.full((len(p[0]),), p[2]) for p in parts])
    valid = (first >= 0) & (second >= 0)
    return Judged(first[valid], second[valid], match[valid])
