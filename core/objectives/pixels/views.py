"""Which logits of pixels a term reads: those of one modality through a head, or of several through one that fuses.

Shape legend: B = rows of the batch, V = rows that have logits, C = channels, K = classes, H, W = pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.pixels.hiding import hide_some
from core.types import Encoded


@dataclass(frozen=True, slots=True)
class Pixels:
    """logits: (V, K, H, W) float32, the head's answer, then those of its auxiliary outputs. rows: (V,) int64 which rows
    of the batch they are. valid: (V, H, W) bool, False where nothing was recorded; None when everything was."""

    logits: tuple[Tensor, ...]
    rows: Tensor
    valid: Tensor | None = None

    @property
    def main(self) -> Tensor:
        return self.logits[0]


class PixelView(nn.Module, ABC):
    """A way to get logits of pixels from a step. name: what logs call it."""

    name: str

    @abstractmethod
    def forward(self, step: Step) -> Pixels | None:
        """The same object for all terms of a step that ask for equal views; None when no row has what it reads."""


class ModalityLogits(PixelView):
    """One modality's feature maps through a head of the model: `model.heads[head](pyramid, size)`.

    Two modalities that name one head share its weights and are run one after the other (middle fusion of CromSS, Liu et
    al. 2025); with a head each they share nothing (late fusion).
    """

    def __init__(self, *, modality: str, head: str) -> None:
        super().__init__()
        self.modality, self.head = modality, head
        self.name = modality

    def forward(self, step: Step) -> Pixels | None:
        return step.memo(("pixels", self.modality, self.head), lambda: self._pixels(step))

    def _pixels(self, step: Step) -> Pixels | None:
        if not step.has(self.modality):
            return None
        inp = step.input(self.modality)
        out = step.head(self.head)(_maps(step.encoded(self.modality), self.modality), inp.x.shape[-2:])
        rows_V = step.batch.present[self.modality].nonzero(as_tuple=True)[0]
        return Pixels(_in_full_precision(out), rows_V.to(inp.x.device), inp.extra.get("valid"))


class FusedLogits(PixelView):
    """Feature maps of several modalities through one head: `model.heads[head]([pyramid, ...], size)`.

    Rows that lack a modality show the head zeros for its maps. drop: share of the rows with all modalities that are
    shown without one of them, drawn anew at each step, so that the head learns to do without; 0 as published (SSMA,
    Valada et al. 2019). A pixel counts where any of the row's modalities recorded it.
    """

    def __init__(self, *, modalities: Sequence[str], head: str, drop: float = 0.0) -> None:
        super().__init__()
        if len(modalities) < 2 or not 0 <= drop <= 1:
            raise ConfigError(f"FusedLogits: modalities {list(modalities)}, drop {drop}; give two at least, a share")
        self.modalities, self.head, self.drop = tuple(modalities), head, drop
        self.name = "+".join(modalities)

    def forward(self, step: Step) -> Pixels | None:
        return step.memo(("pixels", self.modalities, self.head, self.drop), lambda: self._pixels(step))

    def _pixels(self, step: Step) -> Pixels | None:
        there = [m for m in self.modalities if step.has(m)]
        if not there:
            return None
        device = step.input(there[0]).x.device
        present_BM = torch.stack([step.batch.present[m] for m in self.modalities], dim=1).to(device)
        shown_BM = self._hidden(step, present_BM)
        maps = {m: _maps(step.encoded(m), m) for m in there}
        size = step.input(there[0]).x.shape[-2:]
        pyramids, valid_BHW = [], torch.zeros(len(present_BM), *size, dtype=torch.bool, device=device)
        for i, name in enumerate(self.modalities):
            like = maps.get(name, maps[there[0]])
            own = [m.new_zeros(len(present_BM), *m.shape[1:]) for m in like]
            if name in maps:
                rows = present_BM[:, i].nonzero(as_tuple=True)
                own = [
                    zero.index_put(rows, m) * shown_BM[:, i, None, None, None]
                    for zero, m in zip(own, maps[name], strict=True)
                ]
                recorded = step.input(name).extra.get("valid")
                of_V = (
                    torch.ones(len(rows[0]), *size, dtype=torch.bool, device=device) if recorded is None else recorded
                )
                valid_BHW = valid_BHW | torch.zeros_like(valid_BHW).index_put(rows, of_V.to(device))
            pyramids.append(own)
        out = step.head(self.head)(pyramids, size)
        rows_V = present_BM.any(1).nonzero(as_tuple=True)[0]
        return Pixels(tuple(x[rows_V] for x in _in_full_precision(out)), rows_V, valid_BHW[rows_V])

    def _hidden(self, step: Step, present_BM: Tensor) -> Tensor:
        """Which modalities the head sees: all that are there, but for one of a share of the complete rows."""
        if self.drop == 0:
            return present_BM
        hit_B = torch.rand(len(present_BM), generator=step.generator) < self.drop
        which_B = torch.randint(len(self.modalities), (len(present_BM),), generator=step.generator)
        lost_BM = nn.functional.one_hot(which_B, len(self.modalities)).bool() & hit_B[:, None]
        return present_BM & ~(lost_BM.to(present_BM.device) & present_BM.all(1)[:, None])


class JointLogits(PixelView):
    """Modalities of a `JointModel` through its adapters and transformer together: `model.heads[head](pyramid, size)`.

    drop: share of the rows with several modalities that show a random part of them, drawn anew at each step, so that
    one set of weights answers for every part. A pixel counts where any modality that the row shows recorded it.
    Raises ConfigError for a model that has no joint transformer, and for modalities on different grids of tokens.
    """

    def __init__(self, *, modalities: Sequence[str], head: str, drop: float = 0.0) -> None:
        super().__init__()
        if not modalities or not 0 <= drop <= 1:
            raise ConfigError(f"JointLogits: modalities {list(modalities)}, drop {drop}; give one at least, a share")
        self.modalities, self.head, self.drop = tuple(modalities), head, drop
        self.name = "+".join(modalities)

    def forward(self, step: Step) -> Pixels | None:
        return step.memo(("pixels-joint", self.modalities, self.head, self.drop), lambda: self._pixels(step))

    def _pixels(self, step: Step) -> Pixels | None:
        there = [m for m in self.modalities if step.has(m)]
        if not there:
            return None
        if not hasattr(step.model, "encoder_of_all") or step.model.fusion is None:
            raise ConfigError(f"JointLogits: {type(step.model).__name__} is no JointModel; give its modalities one")
        batch = hide_some(step.batch, there, share=self.drop, generator=step.generator)
        pyramid = step.model.encoder_of_all(self.modalities).encode(batch.inputs, batch.present).pyramid
        if pyramid is None:
            raise ConfigError(f"JointLogits: {self.name} lie on different grids of tokens; give patches that fit")
        size = step.input(there[0]).x.shape[-2:]
        out = step.head(self.head)(pyramid, size)
        device = pyramid[0].device
        valid_BHW = torch.zeros(len(batch), *size, dtype=torch.bool, device=device)
        for name, inp in batch.inputs.items():
            rows = batch.present[name].to(device).nonzero(as_tuple=True)
            recorded_VHW = inp.extra.get("valid", torch.ones(len(inp), *size, dtype=torch.bool)).to(device)
            valid_BHW = valid_BHW | torch.zeros_like(valid_BHW).index_put(rows, recorded_VHW)
        rows_V = torch.stack([batch.present[m].to(device) for m in there]).any(0).nonzero(as_tuple=True)[0]
        return Pixels(tuple(x[rows_V] for x in _in_full_precision(out)), rows_V, valid_BHW[rows_V])


def _maps(encoded: Encoded, modality: str) -> list[Tensor]:
    if encoded.pyramid is None:
        raise ConfigError(f"the encoder of '{modality}' gives no feature maps, which labels of pixels need")
    return encoded.pyramid


def _in_full_precision(out: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(x.float() if x.dtype in (torch.float16, torch.bfloat16) else x for x in
                 ([out] if isinstance(out, Tensor) else out))  # fmt: skip
