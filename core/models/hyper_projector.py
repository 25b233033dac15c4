"""A hypernetwork that writes the projector of a new encoder from a few pairs (SEMI, Sample-Efficient Modality
Integration, 2025).

Shape legend: V = rows, S = support pairs, L = linear layers of the projector, D = width of the items, E = width of the
space, C = width of the hypernetwork, r = rank.

An item is one vector of a frozen encoder, of unit length; its text a vector of a frozen text encoder. The projector was
trained on known encoders; the hypernetwork reads pairs of an unknown one and changes the projector by low rank.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn import sincos


@dataclass(frozen=True, slots=True)
class LowRank:
    """A change of a linear layer: weight + (down @ up)^T, bias + shift. down: (in, r). up: (r, out). shift: (out,)."""

    down: Tensor
    up: Tensor
    shift: Tensor


class Projector(nn.Module):
    """Linear - GELU - dropout - Linear of unit vectors, (V, width) -> (V, dim): `net.0` and `net.3` of the release.

    released: with low-rank changes, only the first linear layer and the GELU run, as in the released training code,
    which pairs four modules with two changes (its merged projectors run all). Only for weights trained that way.
    """

    def __init__(
        self, *, width: int, dim: int, hidden: int | None = None, dropout: float = 0.1, released: bool = False
    ) -> None:
        """hidden: width between the layers, `dim` when None as published."""
        super().__init__()
        hidden = dim if hidden is None else hidden
        if released and hidden != dim:
            raise ConfigError(f"Projector: released code ends after the first layer, so hidden {hidden} is dim {dim}")
        self.width, self.dim, self.released = width, dim, released
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )

    @property
    def linears(self) -> list[nn.Linear]:
        return [layer for layer in self.net if isinstance(layer, nn.Linear)]

    def forward(self, x_VD: Tensor, changes: Sequence[LowRank] = ()) -> Tensor:
        """changes: one per linear layer, or none."""
        h = F.normalize(x_VD.float(), dim=-1)
        if not changes:
            return cast(Tensor, self.net(h))
        self._check(changes)
        left = iter(changes)
        for layer in self.net:
            if isinstance(layer, nn.Linear):
                change = next(left)
                h = layer(h) + h @ change.down @ change.up + change.shift
            else:
                h = layer(h)
            if self.released and isinstance(layer, nn.GELU):
                return h
        return h

    @torch.no_grad()
    def merged(self, changes: Sequence[Sequence[LowRank]]) -> Projector:
        """A projector of its own with the mean of several changes in its weights.

        The mean is that of the products down @ up. The release averages the two factors apart, which is another thing
        unless all are equal; `averaged` does that.
        """
        if not changes:
            raise ConfigError("Projector: no changes to merge; generate some from support pairs")
        out = copy.deepcopy(self)
        for i, layer in enumerate(out.linears):
            for change in changes:
                self._check(change)
            layer.weight.add_(torch.stack([(c[i].down @ c[i].up).T for c in changes]).mean(0))
            layer.bias.add_(torch.stack([c[i].shift for c in changes]).mean(0))
        return out

    def _check(self, changes: Sequence[LowRank]) -> None:
        linears = self.linears
        found = [(c.down.shape[0], c.up.shape[1]) for c in changes]
        wanted = [(layer.in_features, layer.out_features) for layer in linears]
        if found != wanted:
            raise ConfigError(f"Projector: the changes are of layers (in, out) {found}, its own are {wanted}")


class ProjectorHypernet(nn.Module):
    """Support pairs -> one `LowRank` per linear layer of a projector.

    The sequence is one trained prefix token per layer, then item, text, item, text, ...; each padded with zeros to
    `context`. One single-head attention, without residual; what it gives for prefix l becomes the change of layer l by
    a linear map of its own. The maps of `up` and `shift` begin at 0, so that the first projector is the unchanged one.
    """

    def __init__(
        self,
        *,
        width: int,
        dim: int,
        text_width: int,
        hidden: int | None = None,
        context: int | None = None,
        rank: int = 32,
        alpha: float | None = None,
        dropout: float = 0.05,
        positions: bool = True,
        most: int = 128,
    ) -> None:
        """width, dim, hidden: of the projector. context: C, the wider of item and text when None. alpha: changes are
        multiplied by alpha / rank; rank when None. positions: fixed sines / sqrt(C) tell the order of the pairs,
        which means nothing without them. most: pairs of a support. Raises ConfigError for a context that is narrower
        than an item."""
        super().__init__()
        hidden = dim if hidden is None else hidden
        context = max(width, text_width) if context is None else context
        context += context % 2
        if context < max(width, text_width) or rank < 1 or most < 1:
            raise ConfigError(
                f"ProjectorHypernet: context {context} holds items of {width} and texts of {text_width}; rank {rank} "
                f"and most {most} are 1 or more"
            )
        self.width, self.text_width, self.context, self.rank, self.most = width, text_width, context, rank, most
        self.shapes = [(width, hidden), (hidden, dim)]
        self.factor = (rank if alpha is None else alpha) / rank
        self.prefix_tokens = nn.Parameter(torch.randn(len(self.shapes), context) * context**-0.5)
        self.q, self.k, self.v = (nn.Linear(context, context) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.generators = nn.ModuleList(nn.Linear(context, a * rank + rank * b + b) for a, b in self.shapes)
        with torch.no_grad():
            for generator, (a, _) in zip(self.generators, self.shapes):
                assert isinstance(generator, nn.Linear)
                generator.weight[a * rank :] = 0
                generator.bias[a * rank :] = 0
        length = len(self.shapes) + 2 * most
        table = (
            sincos(torch.arange(length), context) / math.sqrt(context) if positions else torch.zeros(length, context)
        )
        self.register_buffer("table", table, persistent=False)

    def forward(self, item_SD: Tensor, text_SE: Tensor, mask_S: Tensor | None = None) -> list[LowRank]:
        """mask_S: (S,) bool, True = real; padding changes nothing. Raises ConfigError for other widths or too many."""
        if len(item_SD) != len(text_SE) or item_SD.shape[1] != self.width or text_SE.shape[1] != self.text_width:
            raise ConfigError(
                f"ProjectorHypernet: items {tuple(item_SD.shape)} and texts {tuple(text_SE.shape)}; expected (S, "
                f"{self.width}) and (S, {self.text_width})"
            )
        if len(item_SD) > self.most:
            raise ConfigError(f"ProjectorHypernet: {len(item_SD)} pairs, it reads up to {self.most}; raise most")
        unit = [F.normalize(x.float(), dim=-1) for x in (item_SD, text_SE)]
        pair_S2C = torch.stack([F.pad(x, (0, self.context - x.shape[1])) for x in unit], dim=1)
        x_TC = torch.cat([self.prefix_tokens, pair_S2C.flatten(0, 1)])
        x_TC = x_TC + cast(Tensor, self.table)[: len(x_TC)]
        layers = len(self.shapes)
        score_LT = self.q(x_TC[:layers]) @ self.k(x_TC).T / math.sqrt(self.context)
        if mask_S is not None:
            real_T = torch.cat([mask_S.new_ones(layers), mask_S.repeat_interleave(2)])
            score_LT = score_LT.masked_fill(~real_T, -torch.inf)
        out_LC = self.dropout(score_LT.softmax(1)) @ self.v(x_TC)
        return [self._change(layer, out_LC[layer]) for layer in range(layers)]

    def _change(self, layer: int, x_C: Tensor) -> LowRank:
        (a, b), r = self.shapes[layer], self.rank
        flat = self.generators[layer](x_C)
        down, up, shift = flat.split([a * r, r * b, b])
        # the factor is that of the product: it is put on one of the two
        return LowRank(down.view(a, r), self.factor * up.view(r, b), self.factor * shift)

    @torch.no_grad()
    def write(
        self, projector: Projector, item_ND: Tensor, text_NE: Tensor, *, supports: int, generator: torch.Generator
    ) -> Projector:
        """The projector for a new encoder, from all N pairs there are: the mean over random supports of `most`."""
        was = self.training
        self.eval()
        changes = []
        for _ in range(supports if len(item_ND) > self.most else 1):
            rows_S = torch.randperm(len(item_ND), generator=generator)[: self.most]
            changes.append(self(item_ND[rows_S], text_NE[rows_S]))
        self.train(was)
        return projector.merged(changes)


def averaged(changes: Sequence[Sequence[LowRank]]) -> list[LowRank]:
    """Mean of each factor over several changes, as the release does before it merges."""
    return [
        LowRank(*(torch.stack([getattr(c, name) for c in layer]).mean(0) for name in ("down", "up", "shift")))
        for layer in zip(*changes, strict=True)
    ]


def random_rotation(width: int, generator: torch.Generator) -> Tensor:
    """(D, D) orthogonal, uniform over all of them (Haar): QR, less the signs of R's diagonal (Mezzadri 2007)."""
    q, r = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    return (q * r.diagonal().sign()).float()
