"""Whole models of single modalities side by side: an encoder and a decoder to pixels for each, which never meet.

Shape legend: V = rows in which a modality is present, B = rows of the batch, K = classes, H, W = pixels, D = width of
the decoder's features.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.encoders.several import MultimodalEncoder
from core.errors import ConfigError, nearest
from core.models.dual_encoder import DualEncoder
from core.models.map_segmenter import ConvNeXtDecoder
from core.types import Encoded, ModalityInput


class PartOf(Encoder):
    """The encoder of one modality of a model, without the rest of it."""

    def __init__(self, *, model: DualEncoder, modality: str) -> None:
        super().__init__()
        self.encoder = model.encoder_of(modality)
        self.width, self.pyramid_channels = self.encoder.width, self.encoder.pyramid_channels

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        encoded: Encoded = self.encoder(inp, keep=keep, want=want, hooks=hooks)
        return encoded


class TowersEncoder(MultimodalEncoder):
    """Towers that read the modalities of a row apart. pooled: theirs side by side, 0 where one is missing."""

    def __init__(self, *, encoders: Mapping[str, Encoder], decoders: Mapping[str, ConvNeXtDecoder]) -> None:
        super().__init__()
        self.encoders, self.decoders = nn.ModuleDict(encoders), nn.ModuleDict(decoders)
        self.modalities = tuple(encoders)
        self._widths = {name: encoder.width for name, encoder in encoders.items()}
        self.width = sum(self._widths.values())

    def encode(self, inputs: Mapping[str, ModalityInput], present: Mapping[str, Tensor]) -> Encoded:
        parts = []
        rows = len(next(iter(present.values())))
        held = self.held(inputs)
        like = inputs[held[0]].x
        for name in self.modalities:
            part_BD = like.new_zeros(rows, self._widths[name], dtype=torch.float32)
            if name in held:
                pooled_VD = self.encoders[name](inputs[name]).pooled
                where = present[name].to(pooled_VD.device).nonzero(as_tuple=True)
                part_BD = part_BD.to(pooled_VD).index_put(where, pooled_VD)
            parts.append(part_BD)
        return Encoded(pooled=torch.cat(parts, dim=1))

    def cells(self, name: str, inp: ModalityInput) -> Tensor:
        """(V, D, h, w) features of a modality before the last layer of its decoder."""
        pyramid = self.encoders[name](inp).pyramid
        if pyramid is None:
            raise ConfigError(f"TowersEncoder: the encoder of '{name}' gives no feature maps of this input")
        cells: Tensor = self.decoders[name].features(pyramid)  # type: ignore[operator]
        return cells


class Towers(DualEncoder):
    """Encoders and decoders of models that were trained apart, under their modalities' names."""

    def __init__(self, *, towers: dict[str, Encoder], decoders: dict[str, ConvNeXtDecoder]) -> None:
        """towers: modality -> encoder with feature maps. decoders: modality -> its decoder to pixels."""
        for name, encoder in towers.items():
            if name not in decoders:
                raise ConfigError(f"Towers: '{name}' has no decoder{nearest(name, decoders)}")
            if not encoder.pyramid_channels or encoder.pyramid_channels[-1] != decoders[name].channels:
                raise ConfigError(
                    f"Towers: the decoder of '{name}' reads {decoders[name].channels} channels, its encoder gives "
                    f"{list(encoder.pyramid_channels)}"
                )
        same: dict[str, nn.Module | str] = {name: nn.Identity() for name in towers}
        super().__init__(
            encoders=dict(towers), modalities={name: name for name in towers}, dim=1, projections=same,
            heads=dict(decoders),
        )  # fmt: skip

    def encoder_of_all(self, modalities: Sequence[str]) -> TowersEncoder:
        encoders = {name: self.encoder_of(name) for name in modalities}
        decoders: dict[str, ConvNeXtDecoder] = {}
        for name in modalities:
            decoder = self.heads[name]
            assert isinstance(decoder, ConvNeXtDecoder)
            decoders[name] = decoder
        return TowersEncoder(encoders=encoders, decoders=decoders)


@dataclass(frozen=True, slots=True)
class TowerView:
    """What a tower says of its V rows. logits, mimic: (V, K, H, W) float32. features: (V, D, H, W)."""

    logits: Tensor
    mimic: Tensor
    features: Tensor


class TowerSegmenter(nn.Module):
    """Logits of every pixel whose softmax is the mean of the towers' probabilities, over those that a row has.

    Beside its own last layer, each tower has one that learns what the other would say (xMUDA, Jaritz et al. 2020; a
    copy of the own one at the start).
    """

    def __init__(self, *, encoder: TowersEncoder) -> None:
        super().__init__()
        self.encoder, self.modalities = encoder, encoder.modalities
        self.mimics = nn.ModuleDict()
        classes = set()
        for name, decoder in encoder.decoders.items():
            own: nn.Conv2d = decoder.logits  # type: ignore[assignment]
            copy = nn.Conv2d(own.in_channels, own.out_channels, 1)
            copy.load_state_dict(own.state_dict())
            self.mimics[name] = copy
            classes.add(own.out_channels)
        if len(classes) != 1:
            raise ConfigError(f"TowerSegmenter: the towers know {sorted(classes)} classes; they must know the same")
        self.classes = classes.pop()

    def view(self, name: str, inp: ModalityInput, size: Sequence[int]) -> TowerView:
        """One tower's rows. size: H, W."""
        cells = self.encoder.cells(name, inp)

        def pixels(x: Tensor) -> Tensor:
            return F.interpolate(x.float(), size=tuple(size), mode="bilinear", align_corners=False)

        return TowerView(
            logits=pixels(self.encoder.decoders[name].logits(cells)),  # type: ignore[operator]
            mimic=pixels(self.mimics[name](cells)),
            features=pixels(cells),
        )

    def views(self, inputs: Mapping[str, ModalityInput], names: Sequence[str]) -> dict[str, TowerView]:
        """Views of several towers, all on the pixels of the first."""
        size = inputs[names[0]].x.shape[-2:]
        return {name: self.view(name, inputs[name], size) for name in names}

    def forward(self, inputs: Mapping[str, ModalityInput], present: Mapping[str, Tensor]) -> Tensor:
        """inputs[m]: the V rows of a modality, present[m]: (B,) bool -> (B, K, H, W) float32. A row without any
        modality gets equal logits."""
        total = share = None
        for name, view in self.views(inputs, self.encoder.held(inputs)).items():
            p_VKHW = view.logits.softmax(1)
            if total is None or share is None:
                total = p_VKHW.new_zeros(len(present[name]), *p_VKHW.shape[1:])
                share = p_VKHW.new_zeros(len(present[name]), 1, 1, 1)
            here_B = present[name].to(p_VKHW.device)
            total = total + torch.zeros_like(total).index_put(here_B.nonzero(as_tuple=True), p_VKHW)
            share = share + here_B[:, None, None, None]
        assert total is not None
        assert share is not None
        mean = torch.where(share > 0, total / share.clamp_min(1), 1 / self.classes)
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
