"""DOFA (Xiong et al. 2024) through torchgeo: one transformer for any sensor, told by the wavelengths of its bands.

Shape legend: V = rows, C = bands, H, W = pixels, N = patches, D = width, h, w = patches of a side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockContext, SteppableEncoder
from core.errors import CheckpointError, ConfigError, DataError
from core.nn import SinCosPositions
from core.types import Encoded, ModalityInput, Tokens
from domains.remote_sensing.bands import BandSpec
from domains.remote_sensing.encoders.tower import check_bands, dofa_wavelengths, take
from domains.remote_sensing.sensors import preset

DYNAMIC_WIDTH = 128  # of the generator, fixed by torchgeo and by the released weights
ADDED = ("fc_norm.weight", "fc_norm.bias")  # of fine-tuning: masked pretraining has none


class DOFA(SteppableEncoder):
    """Rasters (V, C, H, W) of one of `sensors` -> tokens, pooled vector, one-level pyramid.

    sensors: presets of what it reads, each with another number of bands, by which an input is told. A radar band enters
    as its frequency in GHz (5.405), as in the released weights. image_size, patch: pixels; inputs of another size have
    their positions resampled. The defaults are `dofa_base_patch16_224`; small: width 384, heads 6; large: width 1024,
    depth 24, heads 16; huge: patch 14, width 1280, depth 32, heads 16.
    pretrained: download torchgeo's weights (base and large at 224 pixels have some, CC-BY-4.0 as far as we know); local
    files go through `load_dofa`. pooled is the normalised mean of the patches, as `forward_features` of torchgeo.
    """

    def __init__(
        self,
        *,
        sensors: Sequence[str] = ("sentinel2_l2a",),
        image_size: int = 224,
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        from torchgeo import models  # heavy

        if patch < 3 or image_size % patch:
            raise ConfigError(f"DOFA: image_size {image_size} is no multiple of patch {patch}, which is 3 or more")
        if width % heads or width % 4:
            raise ConfigError(f"DOFA: width {width} must be a multiple of heads {heads} and of 4")
        self.specs = [preset(name).as_values() for name in sensors]
        self._waves = {len(spec): dofa_wavelengths(spec) for spec in self.specs}
        if len(self._waves) != len(self.specs) or not self.specs:
            counts = ", ".join(f"{name} {len(spec)}" for name, spec in zip(sensors, self.specs))
            raise ConfigError(
                f"DOFA: an input is told by its number of bands, and two of sensors have the same ({counts})"
            )
        self.body = models.DOFA(
            img_size=image_size, patch_size=patch, embed_dim=width, depth=depth, num_heads=heads, num_classes=0
        )
        self.width, self.depth, self.patch, self.image_size = width, depth, patch, image_size
        self.pyramid_channels = (width,)
        self.norm = self.body.fc_norm
        nn.init.normal_(self.body.cls_token, std=0.02)
        with torch.no_grad():  # torchgeo leaves zeros, for weights to fill
            grid = (image_size // patch,) * 2
            self.body.pos_embed[0, 1:] = SinCosPositions(grid=grid, width=width)(grid)
        if pretrained:
            load_dofa(self, _downloaded(self))

    def check(self, processor: Any) -> None:
        made = getattr(processor, "spec", None)
        same = [s for s in self.specs if isinstance(made, BandSpec) and s.sensor == made.sensor]
        check_bands((same or self.specs)[0], processor, "DOFA")

    def place(self, grid: Sequence[int]) -> Tensor:
        table_ND = self.body.pos_embed[0, 1:]
        own = (self.image_size // self.patch,) * 2
        return table_ND if tuple(grid) == own else resampled(table_ND, own, grid)

    def embed(self, inp: ModalityInput) -> Tokens:
        x_VCHW = inp.x
        waves = self._waves.get(x_VCHW.shape[1]) if x_VCHW.ndim == 4 else None
        if waves is None:
            raise DataError(
                f"DOFA got shape {tuple(x_VCHW.shape)}; it reads (V, C, H, W) with C of "
                + ", ".join(f"{len(spec)} ({spec.describe()})" for spec in self.specs)
            )
        if any(n % self.patch for n in x_VCHW.shape[2:]):
            raise DataError(f"DOFA: {tuple(x_VCHW.shape[2:])} pixels are no multiples of patch {self.patch}")
        grid = tuple(n // self.patch for n in x_VCHW.shape[2:])
        x_VND, _ = self.body.patch_embed(x_VCHW, torch.tensor(waves, device=x_VCHW.device))
        front_VD = self.body.cls_token + self.body.pos_embed[:, :1]
        x_VND = x_VND + self.place(grid).to(x_VND.dtype)
        x_VND = torch.cat([front_VD.expand(len(x_VND), -1, -1).to(x_VND.dtype), x_VND], dim=1)
        return Tokens(x=x_VND, grid=grid, prefix=1)

    def attn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        block: Any = self.body.blocks[i]
        mask = None if ctx.mask is None else ctx.mask[:, None, None, :]
        return h + block.drop_path1(block.ls1(block.attn(block.norm1(h), attn_mask=mask)))

    def ffn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        block: Any = self.body.blocks[i]
        return h + block.drop_path2(block.ls2(block.mlp(block.norm2(h))))

    def finish(self, h: Tensor, ctx: BlockContext) -> Encoded:
        bare_VND = h[:, ctx.prefix :]
        if ctx.mask is None:
            mean_VD = bare_VND.mean(1)
        else:
            weight_VN1 = ctx.mask[:, ctx.prefix :, None].to(h.dtype)
            mean_VD = (bare_VND * weight_VN1).sum(1) / weight_VN1.sum(1).clamp_min(1)
        tokens_VND = self.norm(h)
        grid = ctx.grid if ctx.complete else None
        pyramid = None if grid is None else [tokens_VND[:, ctx.prefix :].transpose(1, 2).unflatten(2, grid)]
        return Encoded(
            pooled=self.norm(mean_VD),
            tokens=Tokens(x=tokens_VND, mask=ctx.mask, grid=grid, prefix=ctx.prefix),
            layers=ctx.layers,
            pyramid=pyramid,
        )


def load_dofa(encoder: DOFA, checkpoint: Mapping[str, Any]) -> None:
    """Copy weights in torchgeo's key layout (`patch_embed.weight_generator.*`, `cls_token`, `pos_embed`,
    `blocks.{i}.*`, and where the file has it `fc_norm.*`); `norm.*`, `head.*` and what a decoder owns is not
    read. Positions of another square grid are resampled. Raises CheckpointError, before anything is copied, for
    weights that do not fit."""
    found = dict(checkpoint.get("model", checkpoint))
    own = encoder.body.state_dict()
    found = {
        k: v for k, v in found.items() if not k.startswith(("norm.", "head.", "decoder", "mask_token", "projector"))
    }
    table = found.get("pos_embed")
    if isinstance(table, Tensor) and table.ndim == 3 and table.shape[1] != own["pos_embed"].shape[1]:
        side = round((table.shape[1] - 1) ** 0.5)
        if side * side + 1 != table.shape[1]:
            raise CheckpointError(f"DOFA weights: 'pos_embed' has {table.shape[1] - 1} positions, which is no square")
        grid = (encoder.image_size // encoder.patch,) * 2
        found["pos_embed"] = torch.cat([table[:, :1], resampled(table[0, 1:], (side, side), grid)[None]], dim=1)
    encoder.body.load_state_dict(take(own, found, who="DOFA", optional=ADDED))


def resampled(table_ND: Tensor, own: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Positions of a grid, interpolated to another (bicubic): (N, D) -> (N', D)."""
    table_1Dhw = table_ND.float().unflatten(0, tuple(own)).movedim(-1, 0)[None]
    return F.interpolate(table_1Dhw, size=tuple(grid), mode="bicubic", align_corners=False)[0].flatten(1).T


def _downloaded(encoder: DOFA) -> Mapping[str, Any]:
    from torchgeo.models import DOFABase16_Weights, DOFALarge16_Weights

    sizes = {(768, 12, 16): DOFABase16_Weights.DOFA_MAE, (1024, 24, 16): DOFALarge16_Weights.DOFA_MAE}
    size = (encoder.width, encoder.depth, encoder.patch)
    if size not in sizes:
        raise ConfigError(
            f"DOFA: no weights are published for width {size[0]}, depth {size[1]}, patch {size[2]}; those of base "
            "(768, 12, 16) and large (1024, 24, 16) are, or set pretrained: false"
        )
    state: Mapping[str, Any] = sizes[size].get_state_dict(progress=True)
    return state
