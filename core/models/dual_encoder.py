"""Several modalities, each read by an encoder and projected into one shared space; optionally a fusion encoder on top.

Shape legend: V = rows in which the modality is present, D = encoder width, E = width of the shared space.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError, nearest
from core.fusion.base import Fusion
from core.models.codebook import FromModel
from core.models.projection import LinearProjection
from core.models.token_projection import TokenProjection
from core.types import Encoded, ModalityInput

if TYPE_CHECKING:
    from core.data.processor import Processor


class DualEncoder(nn.Module):
    """Encoders by name, the modalities that each of them reads, and one projection per modality.

    Two modalities may share an encoder (a 2D encoder that serves images and, slice by slice, volumes).
    Raises ConfigError when `modalities`, `projections` or `frozen` name something that is not there.
    """

    def __init__(
        self,
        *,
        encoders: dict[str, Encoder],
        modalities: dict[str, str],
        dim: int,
        projections: dict[str, nn.Module | str] | None = None,
        fusion: Fusion | None = None,
        frozen: list[str] | None = None,
        heads: dict[str, nn.Module] | None = None,
    ) -> None:
        """encoders: name -> encoder. modalities: modality -> name of the encoder that reads it. dim: E.
        projections: modality -> module (V, D) -> (V, E), or a `TokenProjection`; the name of another modality shares
        its projection (two views of one source); a bias-free linear map where none is given.
        frozen: encoders that are not trained and stay in evaluation mode. heads: further heads by name, which the
        objective's views ask for; here, and not in a term, so that momentum copies and saved models have them."""
        super().__init__()
        frozen = frozen or []
        for modality, name in modalities.items():
            if name not in encoders:
                raise ConfigError(f"modality '{modality}' is read by encoder '{name}'{nearest(name, encoders)}")
        for name in frozen:
            if name not in encoders:
                raise ConfigError(f"frozen encoder '{name}'{nearest(name, encoders)}")
        for modality in projections or {}:
            if modality not in modalities:
                raise ConfigError(f"projection of modality '{modality}'{nearest(modality, modalities)}")
        self.encoders = nn.ModuleDict(encoders)
        self.reads = dict(modalities)
        self.dim = dim
        given = projections or {}
        modules = {m: p for m, p in given.items() if not isinstance(p, str)}
        borrowed = {m: p for m, p in given.items() if isinstance(p, str)}
        own = {
            m: modules.get(m) or LinearProjection(width=encoders[n].width, dim=dim)
            for m, n in modalities.items()
            if m not in borrowed
        }
        for modality, other in borrowed.items():
            if other not in own:
                raise ConfigError(f"projection of '{modality}' is that of '{other}'{nearest(other, own)}")
        self.projections = nn.ModuleDict({m: own[borrowed.get(m, m)] for m in modalities})
        self.fusion = fusion
        self.heads = nn.ModuleDict(heads or {})
        for head in self.heads.values():
            if isinstance(head, FromModel):
                head.adopt(self)
        self.frozen = list(frozen)
        for name in frozen:
            self.encoders[name].requires_grad_(False).eval()

    def train(self, mode: bool = True) -> DualEncoder:
        super().train(mode)
        for name in self.frozen:
            self.encoders[name].eval()
        return self

    def encoder_of(self, modality: str) -> Encoder:
        """The encoder that reads `modality`. Raises ConfigError for an unknown one."""
        if modality not in self.reads:
            raise ConfigError(f"the model reads no modality '{modality}'{nearest(modality, self.reads)}")
        encoder = self.encoders[self.reads[modality]]
        assert isinstance(encoder, Encoder)
        return encoder

    def encoder_of_all(self, modalities: Sequence[str]) -> Encoder:
        """One encoder that reads several modalities of a row. Raises ConfigError where the model has none."""
        if len(modalities) == 1:
            return self.encoder_of(modalities[0])
        raise ConfigError(
            f"{type(self).__name__} has an encoder for each modality and none for {', '.join(modalities)} together; "
            "name one modality, or pretrain a core.models.JointModel (adapters under one transformer)"
        )

    def take(self, processors: Mapping[str, Processor]) -> None:
        """Show every encoder the fitted processors of what it reads; see `Encoder.take`."""
        for modality in self.reads:
            if modality in processors:
                self.encoder_of(modality).take(processors[modality])

    def width(self, modality: str) -> int:
        """D of a modality's pooled features."""
        return self.encoder_of(modality).width

    def encode(
        self,
        modality: str,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        """Run the modality's encoder on its V rows."""
        return self.encoder_of(modality)(inp, keep=keep, want=want, hooks=hooks)

    def project(self, modality: str, encoded: Encoded) -> Tensor:
        """(V, E), not normalised."""
        projection = self.projections[modality]
        if isinstance(projection, TokenProjection):
            return projection(encoded, self.heads)
        return projection(encoded.pooled)

    @torch.no_grad()
    def embed(self, modality: str, inp: ModalityInput) -> tuple[Tensor, Tensor]:
        """For inference: unit vectors (V, E) and pooled features (V, D), both float32."""
        encoded = self.encode(modality, inp)
        vector_VE = F.normalize(self.project(modality, encoded).float(), dim=-1)
        return vector_VE, encoded.pooled.float()

    def forward(self, inputs: dict[str, ModalityInput]) -> dict[str, Tensor]:
        """Modality -> (V, E), not normalised."""
        return {m: self.project(m, self.encode(m, inp)) for m, inp in inputs.items()}
