"""Mutual information between a sample and its own parts: the global vector against every local one.

Shape legend: n = rows that hold the modality, T = tokens of a row, m = real tokens of all rows, E = width, h, w = rows
and columns of one tile.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError, nearest
from core.objectives.base import Step, StepModel, Term
from core.objectives.contrast.kernel import TILE
from core.objectives.contrast.matrix import DotMatrix
from core.objectives.contrast.row_lse import row_lse
from core.objectives.contrast.scale import Scale, Temperature
from core.objectives.contrast.similarity import unit
from core.objectives.contrast.tiles import Tile
from core.objectives.processes import mean_of_all
from core.objectives.views import View, as_view


class LocalInformation(Term):
    """For sample i and each own token p: -log e^{g_i.l_ip / T} / (e^{g_i.l_ip / T} + sum_{j != i} sum_q e^{g_i.l_jq /
    T}), mean over real tokens, then over samples (TCL, Yang et al. 2022). Other own tokens are no negatives.

    g: unit vectors of the student; l: unit token vectors, in TCL those of the momentum teacher: image tokens pooled to
    a coarse grid by a parameterless `reduce` head (`core.nn.GridPool`), text tokens as they are. Padding counts neither
    as a positive nor as a negative. Negatives are those of this process. With one token per sample this is InfoNCE of
    (g, l). Values: "loss" in nats; "gain", nats below the loss of equal scores; "scale". With fewer than two samples
    the loss is an exact 0 with a graph. O(n E + m E) memory.
    """

    def __init__(
        self,
        *,
        vector: str | View,
        tokens: View,
        scale: Scale | None = None,
        key: str | None = None,
        tile: tuple[int, int] = TILE,
        name: str | None = None,
    ) -> None:
        """vector: (n, E) view. tokens: (n, T, E) view of the same modality, with its mask. scale: learned temperature
        from 0.07. key: entry of `Batch.keys`; tokens of samples that agree in it are no negatives of each other."""
        super().__init__()
        self.vector, self.tokens = as_view(vector), tokens
        if self.vector.modality != tokens.modality:
            raise ConfigError(
                f"LocalInformation: vector is of '{self.vector.modality}' and tokens of '{tokens.modality}'; a sample "
                "is compared with its own parts, so give two views of one modality"
            )
        if min(tile) < 1:
            raise ConfigError(f"LocalInformation: tile is {tile}; give rows and columns of at least 1")
        self.scale = Temperature() if scale is None else scale
        if self.scale.bias is not None:
            raise ConfigError("LocalInformation: the scale has a bias, which cancels; give one without")
        self.key, self.tile = key, (int(tile[0]), int(tile[1]))
        self.name = f"local_{tokens.modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.tokens.modality):
            return self._nothing(step)
        g_nE, local = unit(self.vector(step).x), self.tokens(step)
        if local.x.ndim != 3 or local.x.shape[::2] != g_nE.shape:
            raise ConfigError(
                f"term '{self.name}': the vectors have the shape {tuple(g_nE.shape)} and the tokens "
                f"{tuple(local.x.shape)}; expected (n, E) and (n, T, E)"
            )
        everything = torch.ones(local.x.shape[:2], dtype=torch.bool, device=g_nE.device)
        real_nT = everything if local.mask is None else local.mask
        counted_n, (owner_m, _) = real_nT.any(1), real_nT.nonzero(as_tuple=True)
        if len(g_nE) < 2 or len(owner_m) == 0:
            return self._nothing(step)
        l_mE, content_n = unit(local.x[real_nT]), self._content(step).to(g_nE.device)
        scale = self.scale.at(step.index).to(g_nE.device)
        others_n = row_lse(DotMatrix(g_nE, l_mE), scale, _Same(content_n, content_n[owner_m]), self.tile)
        per_token_m = F.softplus(others_n[owner_m] - scale * (g_nE[owner_m] * l_mE).sum(1))
        per_row_n = per_token_m.new_zeros(len(g_nE)).index_add(0, owner_m, per_token_m) / real_nT.sum(1).clamp_min(1)
        loss = per_row_n.sum() / self._rows(counted_n.sum())
        even = torch.log1p((len(l_mE) - real_nT.sum(1)[counted_n]).float()).mean()
        return {"loss": loss, "gain": even - loss.detach(), **self.scale.logs()}

    def after_step(self, model: StepModel, index: int) -> None:
        self.scale.clamp_()

    def _content(self, step: Step) -> Tensor:
        """(n,) ids of equal content; the row number where no key is given."""
        (rows_n,) = step.batch.present[self.tokens.modality].nonzero(as_tuple=True)
        if self.key is None:
            return rows_n
        if self.key not in step.batch.keys:
            raise ConfigError(
                f"term '{self.name}': the batch has no key '{self.key}'{nearest(self.key, step.batch.keys)}"
            )
        return step.batch.keys[self.key][rows_n]

    def _rows(self, counted: Tensor) -> Tensor:
        """Rows per process, so that the average over processes is the mean over all rows. Collective."""
        return mean_of_all(counted.float()).clamp_min(1e-30)

    def _nothing(self, step: Step) -> dict[str, Tensor]:
        zero = step.zero()
        self._rows(zero.detach())  # the other processes count
        return {"loss": zero}


class _Same:
    """Entries whose row and token are of equal content."""

    def __init__(self, content_n: Tensor, content_m: Tensor) -> None:
        self.content_n, self.content_m = content_n, content_m

    def __call__(self, tile: Tile) -> tuple[Tensor, Tensor]:
        r, c = (self.content_n[tile.rows, None] == self.content_m[None, tile.cols]).nonzero(as_tuple=True)
        return r, c
