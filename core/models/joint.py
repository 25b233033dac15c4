"""Adapters under one transformer, as a model whose modalities, alone or together, all have an encoding (MultiMAE).

Shape legend: V = rows in which a modality is present, B = rows of the batch, N = tokens of a grid, T = tokens of all
modalities, D = width, h, w = cells of the grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.encoders.base import Encoder, SteppableEncoder
from core.encoders.several import MultimodalEncoder
from core.errors import ConfigError, nearest
from core.fusion.base import Fusion
from core.fusion.joint import JointTransformer
from core.models.dual_encoder import DualEncoder
from core.models.projection import LinearProjection
from core.types import Encoded, ModalityInput, Tokens


class JointEncoder(MultimodalEncoder):
    """Some of a `JointTransformer`'s modalities, through their adapters and the transformer.

    pooled: mean over all real tokens and the global ones (Bachmann et al. 2022, fine-tuning). pyramid: one map, the
    mean over the modalities that a row has, so that a missing one changes no shape; only where all grids are the same
    and two-dimensional. The modules are the model's own, not copies.
    """

    def __init__(self, *, adapters: dict[str, SteppableEncoder], fusion: JointTransformer) -> None:
        """adapters: by modality; each must be among the inputs of `fusion`."""
        super().__init__()
        for name in adapters:
            if name not in fusion.inputs:
                raise ConfigError(f"JointEncoder: the transformer reads no '{name}'{nearest(name, fusion.inputs)}")
        self.adapters, self.fusion, self.modalities = nn.ModuleDict(adapters), fusion, tuple(adapters)
        self.width, self.pyramid_channels = fusion.width, (fusion.width,)

    def encode(self, inputs: Mapping[str, ModalityInput], present: Mapping[str, Tensor]) -> Encoded:
        """inputs[m]: the V rows of each modality that the batch holds; present[m]: (B,) bool. Others are not read.

        A row without any modality sees the global tokens alone; its map is zero.
        """
        names = self.held(inputs)
        own = {name: self._tokens(name, inputs[name], present[name]) for name in names}
        x_BTD = torch.cat([tokens.x for tokens, _ in own.values()], dim=1)
        real_BT = torch.cat([real for _, real in own.values()], dim=1)
        x_BTD, global_BGD = self.fusion.run(x_BTD, None if bool(real_BT.all()) else real_BT)
        every_BTD = torch.cat([x_BTD, global_BGD], dim=1)
        weight_BT1 = torch.cat([real_BT, real_BT.new_ones(global_BGD.shape[:2])], dim=1)[..., None]
        pooled_BD = (every_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp_min(1)
        grids = {tokens.grid for tokens, _ in own.values()}
        pyramid = None
        if len(grids) == 1 and (grid := grids.pop()) is not None and len(grid) == 2:
            pyramid = [_mean_map(x_BTD, real_BT, len(names), grid)]
        return Encoded(pooled=pooled_BD, tokens=Tokens(x=x_BTD, mask=real_BT), pyramid=pyramid)

    def _tokens(self, name: str, inp: ModalityInput, present_B: Tensor) -> tuple[Tokens, Tensor]:
        """Tokens as the transformer takes them and which are real, for all B rows."""
        adapter = self.adapters[name]
        assert isinstance(adapter, SteppableEncoder)
        tokens = adapter(inp).tokens
        assert tokens is not None  # a steppable encoder has a token sequence
        entered_VND = self.fusion.enter(name, tokens.x[:, tokens.prefix :])
        every_VN = torch.ones(entered_VND.shape[:2], dtype=torch.bool, device=entered_VND.device)
        real_VN = every_VN if tokens.mask is None else tokens.mask[:, tokens.prefix :]
        rows = present_B.to(entered_VND.device).nonzero(as_tuple=True)
        x_BND = entered_VND.new_zeros(len(present_B), *entered_VND.shape[1:]).index_put(rows, entered_VND)
        real_BN = every_VN.new_zeros(len(present_B), entered_VND.shape[1]).index_put(rows, real_VN)
        return Tokens(x=x_BND, mask=real_BN, grid=tokens.grid), real_BN


class JointModel(DualEncoder):
    """A `DualEncoder` whose modalities are encoded by adapter and shared transformer: MultiMAE, 4M.

    fusion: a `core.fusion.JointTransformer`; `encoders` are its adapters, which objectives such as `MultiModalMasked`
    use one by one. What is evaluated, embedded and fine-tuned is adapter and transformer together.
    """

    def __init__(
        self,
        *,
        encoders: dict[str, Encoder],
        modalities: dict[str, str],
        dim: int,
        fusion: Fusion,
        projections: dict[str, nn.Module] | None = None,
        frozen: list[str] | None = None,
        heads: dict[str, nn.Module] | None = None,
    ) -> None:
        if not isinstance(fusion, JointTransformer):
            raise ConfigError(f"JointModel: fusion is {type(fusion).__name__}; give a core.fusion.JointTransformer")
        own = {name: LinearProjection(width=fusion.width, dim=dim) for name in modalities}
        chosen: dict[str, nn.Module | str] = {**own, **(projections or {})}
        super().__init__(
            encoders=encoders, modalities=modalities, dim=dim, projections=chosen, fusion=fusion, frozen=frozen,
            heads=heads,
        )  # fmt: skip

    def encoder_of(self, modality: str) -> JointEncoder:
        return self.encoder_of_all([modality])

    def encoder_of_all(self, modalities: Sequence[str]) -> JointEncoder:
        assert isinstance(self.fusion, JointTransformer)
        adapters: dict[str, SteppableEncoder] = {}
        for modality in modalities:
            adapter = super().encoder_of(modality)
            if not isinstance(adapter, SteppableEncoder):
                raise ConfigError(
                    f"JointModel: '{modality}' is read by {type(adapter).__name__}, which has no tokens; use a "
                    "PatchAdapter"
                )
            adapters[modality] = adapter
        return JointEncoder(adapters=adapters, fusion=self.fusion)


def _mean_map(x_BTD: Tensor, real_BT: Tensor, count: int, grid: Sequence[int]) -> Tensor:
    """(B, D, h, w): mean over the modalities whose token is real at a cell; 0 where none is."""
    x_BMND, real_BMN1 = x_BTD.unflatten(1, (count, -1)), real_BT.unflatten(1, (count, -1))[..., None]
    mean_BND = (x_BMND * real_BMN1).sum(1) / real_BMN1.sum(1).clamp_min(1)
    return mean_BND.transpose(1, 2).unflatten(2, tuple(grid))
