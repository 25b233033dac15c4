"""CROMA (Fuller et al. 2023) through torchgeo: a radar and an optical transformer, and one that reads both.

Shape legend: V = rows in which a sensor is present, B = rows of the batch, N = patches, D = width, h, w = patches of a
side.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.encoders.several import MultimodalEncoder
from core.errors import CheckpointError, ConfigError, DataError
from core.models.dual_encoder import DualEncoder
from core.types import Encoded, ModalityInput, Tokens
from domains.remote_sensing.encoders.tower import check_bands, check_channels, take
from domains.remote_sensing.sensors import preset

PATCH = 8  # fixed by torchgeo and the released weights, as is the number of heads
HEADS = 16
SENSORS = {"sar": "sentinel1_db", "optical": "sentinel2_l2a"}  # VV, VH; twelve bands without B10
PARTS = {"sar": ("s1_encoder", "s1_GAP_FFN"), "optical": ("s2_encoder", "s2_GAP_FFN")}


class CROMATower(Encoder):
    """One sensor's transformer. pooled: its GAP + FFN vector, as torchgeo's `sar_GAP`, `optical_GAP`; tokens: its
    encodings (V, N, D); pyramid: the same as a map. Inputs of any size that the patch divides: positions are distances
    between patches (2D-ALiBi), which go on where training stopped."""

    def __init__(self, *, kind: Literal["sar", "optical"], body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.kind, self.body, self.head = kind, body, head
        self.spec = preset(SENSORS[kind]).as_values()
        self.width = int(body.dim)  # type: ignore[arg-type]
        self.pyramid_channels = (self.width,)

    def check(self, processor: Any) -> None:
        check_bands(self.spec, processor, f"CROMA's {self.kind} encoder")

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        check_channels(self.spec, inp.x, f"CROMA's {self.kind} encoder")
        grid = inp.x.shape[2] // PATCH, inp.x.shape[3] // PATCH
        if any(n % PATCH for n in inp.x.shape[2:]):
            raise DataError(f"CROMA: {tuple(inp.x.shape[2:])} pixels are no multiples of its patch, {PATCH}")
        x_VND = self.body(imgs=inp.x, attn_bias=alibi(grid).to(inp.x.device))
        return _encoded(self.head(x_VND.mean(1)), x_VND, grid)


class CROMAJoint(MultimodalEncoder):
    """Both sensors. A row with both has torchgeo's joint encodings and their mean; one with a single sensor that
    sensor's encodings and vector (torchgeo's own forward of both fails where one is missing). A row with none is 0."""

    def __init__(self, *, towers: Mapping[str, CROMATower], fuser: nn.Module) -> None:
        """towers: modality -> tower, one of each kind."""
        super().__init__()
        kinds = sorted(tower.kind for tower in towers.values())
        if kinds != ["optical", "sar"]:
            raise ConfigError(f"CROMA joins a radar and an optical encoder, not {kinds}")
        self.towers, self.fuser, self.modalities = nn.ModuleDict(towers), fuser, tuple(towers)
        self._name = {tower.kind: name for name, tower in towers.items()}
        one = towers[self.modalities[0]]
        self.width, self.pyramid_channels = one.width, one.pyramid_channels

    def encode(self, inputs: Mapping[str, ModalityInput], present: Mapping[str, Tensor]) -> Encoded:
        x: dict[str, Tensor] = {}
        rows: dict[str, Tensor] = {}
        grids: dict[str, tuple[int, ...]] = {}
        pooled_BD = x_BND = None
        for name in self.held(inputs):
            own = self.towers[name](inputs[name])
            assert own.tokens is not None
            assert own.tokens.grid is not None
            grids[name] = own.tokens.grid
            if len(set(grids.values())) > 1:
                raise DataError(f"CROMA: both sensors have the same rows and columns of patches, got {grids}")
            x[name], rows[name] = own.tokens.x, present[name].to(own.pooled.device)
            if pooled_BD is None or x_BND is None:
                pooled_BD = own.pooled.new_zeros(len(present[name]), self.width)
                x_BND = x[name].new_zeros(len(present[name]), *x[name].shape[1:])
            where = rows[name].nonzero(as_tuple=True)
            pooled_BD, x_BND = pooled_BD.index_put(where, own.pooled), x_BND.index_put(where, x[name])
        assert pooled_BD is not None
        assert x_BND is not None
        grid = next(iter(grids.values()))
        if len(x) == 2:
            sar, optical = self._name["sar"], self._name["optical"]
            both_B = rows[sar] & rows[optical]
            if bool(both_B.any()):
                bias = alibi(grid).to(x_BND.device)
                joint_VND = self.fuser(
                    x=x[sar][both_B[rows[sar]]], context=x[optical][both_B[rows[optical]]], relative_position_bias=bias
                )
                where = both_B.nonzero(as_tuple=True)
                pooled_BD = pooled_BD.index_put(where, joint_VND.mean(1))
                x_BND = x_BND.index_put(where, joint_VND)
        return _encoded(pooled_BD, x_BND, grid)


class CROMAModel(DualEncoder):
    """CROMA's three transformers. Any sensor alone, or both, has an encoding.

    sar, optical: names of the modalities. The defaults are croma_base (194 M weights); large: width 1024, depth 24. The
    radar and the joint transformer have half the depth. Released weights saw 120 x 120 pixels, and channels in which
    the mean -2 to +2 deviations are 0 to 1 (`normalise: two_deviations`). pretrained: download torchgeo's weights
    (MIT); local files go through `load_croma`.
    """

    def __init__(
        self,
        *,
        sar: str = "s1",
        optical: str = "s2",
        dim: int = 128,
        width: int = 768,
        depth: int = 12,
        pretrained: bool = False,
        projections: dict[str, nn.Module | str] | None = None,
        frozen: list[str] | None = None,
        heads: dict[str, nn.Module] | None = None,
    ) -> None:
        """dim, projections, frozen, heads: see `DualEncoder`."""
        from torchgeo.models import CROMA  # heavy

        if width % HEADS or depth < 2 or depth % 2:
            raise ConfigError(f"CROMAModel: width {width} is a multiple of {HEADS}, depth {depth} an even number")
        whole = CROMA(encoder_dim=width, encoder_depth=depth, num_heads=HEADS, image_size=PATCH)
        kinds: dict[str, Literal["sar", "optical"]] = {sar: "sar", optical: "optical"}
        super().__init__(
            encoders={
                name: CROMATower(kind=kind, body=getattr(whole, PARTS[kind][0]), head=getattr(whole, PARTS[kind][1]))
                for name, kind in kinds.items()
            },
            modalities={name: name for name in kinds},
            dim=dim, projections=projections, frozen=frozen, heads=heads,
        )  # fmt: skip
        self.fuser: nn.Module = whole.joint_encoder
        if pretrained:
            load_croma(self, _downloaded(width, depth))

    def encoder_of_all(self, modalities: Sequence[str]) -> Encoder:
        if len(modalities) == 1:
            return self.encoder_of(modalities[0])
        towers: dict[str, CROMATower] = {}
        for name in modalities:
            tower = self.encoder_of(name)
            assert isinstance(tower, CROMATower)
            towers[name] = tower
        return CROMAJoint(towers=towers, fuser=self.fuser)


def load_croma(model: CROMAModel, checkpoint: Mapping[str, Any]) -> None:
    """Copy weights in torchgeo's layout: a dict of five state dicts, `s1_encoder`, `s1_GAP_FFN`, `s2_encoder`,
    `s2_GAP_FFN`, `joint_encoder`, or one flat dict with these in front of the names.

    Raises CheckpointError, before anything is copied, for weights that do not fit.
    """
    parts: dict[str, nn.Module] = {"joint_encoder": model.fuser}
    for tower in model.encoders.values():
        assert isinstance(tower, CROMATower)
        parts |= dict(zip(PARTS[tower.kind], (tower.body, tower.head)))
    found: dict[str, dict[str, Tensor]] = {}
    for name, part in parts.items():
        state = checkpoint.get(name)
        if state is None:
            state = {k.removeprefix(f"{name}."): v for k, v in checkpoint.items() if k.startswith(f"{name}.")}
        if not isinstance(state, Mapping) or not state:
            raise CheckpointError(
                f"CROMA weights: '{name}' is missing; the file has {', '.join(sorted(checkpoint)[:8])}"
            )
        found[name] = take(part.state_dict(), state, who="CROMA", where=f"{name}.")
    for name, part in parts.items():
        part.load_state_dict(found[name])


@lru_cache(maxsize=16)
def alibi(grid: tuple[int, int]) -> Tensor:
    """(1, 16, N, N) what attention adds: minus the distance between patches, times 2^(-(i + 1) / 2) in head i
    (2D-ALiBi, Fuller et al. 2023, with the slopes of Press et al. 2022 for 16 heads)."""
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    place_N2 = torch.stack(axes, dim=-1).flatten(0, 1)
    slope_G = 2.0 ** (-(torch.arange(HEADS, dtype=torch.float64) + 1) / 2)
    return (-slope_G[:, None, None] * torch.cdist(place_N2, place_N2))[None].float()


def _encoded(pooled_VD: Tensor, x_VND: Tensor, grid: tuple[int, ...]) -> Encoded:
    return Encoded(
        pooled=pooled_VD, tokens=Tokens(x=x_VND, grid=grid), pyramid=[x_VND.transpose(1, 2).unflatten(2, grid)]
    )


def _downloaded(width: int, depth: int) -> Mapping[str, Any]:
    from torchgeo.models import CROMABase_Weights, CROMALarge_Weights

    sizes = {(768, 12): CROMABase_Weights.CROMA_VIT, (1024, 24): CROMALarge_Weights.CROMA_VIT}
    if (width, depth) not in sizes:
        raise ConfigError(
            f"CROMAModel: no weights are published for width {width}, depth {depth}; those of base (768, 12) and large "
            "(1024, 24) are, or set pretrained: false"
        )
    state: Mapping[str, Any] = sizes[width, depth].get_state_dict(progress=True)
    return state
