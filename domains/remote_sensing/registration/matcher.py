"""EfficientLoFTR (Wang et al. 2024) of transformers as an encoder that also matches pairs; MatchAnything's network.

Shape legend: V = pictures, B = pairs, C = bands, H, W = rows and columns, N = coarse cells, D = coarse width,
M = coarse matches, K = 64 places of a fine window, F = fine width. Coordinates as in `truth`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.types import Encoded, ModalityInput
from domains.remote_sensing.registration.grey import composite
from domains.remote_sensing.registration.truth import CELL

BRANCH = 0.2  # first scale of what an attention layer adds
SIDE_STEP = 32  # pixels: stride 8, and attention over cells that are aggregated 4 x 4
Second = Literal["centred", "released"]


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """coarse_B2ND: coarse features after attention, divided by sqrt(D). fine_2: (B, F, H, W) fine maps of both.
    size: rows and columns of cells."""

    coarse_B2ND: Tensor  # noqa: N815
    fine_2: tuple[Tensor, Tensor]
    size: tuple[int, int]

    def similarity(self, temperature: float) -> Tensor:
        """(B, N, N) scaled similarities of cells, float32."""
        first_BND, second_BND = self.coarse_B2ND.float().unbind(1)
        return first_BND @ second_BND.transpose(1, 2) / temperature


class LoFTRMatcher(Encoder):
    """Pictures of any sensor (V, C, H, W) -> coarse features; `pair` and `fine` are for two pictures of one ground.

    Bands become one grey picture first (`grey.composite`), so sensors share all weights. Sides are multiples of 32.
    widths: channels of the four stages of the RepVGG backbone (strides 2, 1, 2, 2), the last is D. blocks: how many
    in each. depth: layers of self- and cross-attention. heads: of attention. temperature: of coarse similarities.
    slice_dim: fine channels kept for the second stage of refinement. second_stage: where it looks, "centred" on the
    place that the first stage found; "released" one place up and left, as the published weights were trained
    (transformers and the original code agree on it). side: of the pictures it is trained on, which tools cut scenes
    into. The default is small enough for a CPU; the published network is
    widths [64, 64, 128, 256], blocks [1, 2, 4, 14], depth 4, heads 8, second_stage released.
    Raises ConfigError for numbers that do not go together, and for pictures of other sides.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 24, 48, 96),
        blocks: Sequence[int] = (1, 1, 2, 2),
        depth: int = 2,
        heads: int = 4,
        temperature: float = 0.1,
        slice_dim: int = 8,
        second_stage: Second = "centred",
        side: int = 128,
    ) -> None:
        super().__init__()
        widths, blocks = tuple(widths), tuple(blocks)
        if len(widths) != 4 or len(blocks) != 4 or min(*widths, *blocks, depth, heads) < 1:
            raise ConfigError(f"LoFTRMatcher: widths {widths} and blocks {blocks} are four numbers of at least 1 each")
        if widths[-1] % (4 * heads):
            raise ConfigError(f"LoFTRMatcher: the last width, {widths[-1]}, is a multiple of 4 heads ({4 * heads})")
        if not 0 < slice_dim < widths[1]:
            raise ConfigError(f"LoFTRMatcher: slice_dim is {slice_dim}; give 1 to {widths[1] - 1} (widths[1] - 1)")
        if second_stage not in ("centred", "released"):
            raise ConfigError(f"LoFTRMatcher: second_stage is '{second_stage}'; valid: centred, released")
        if side < SIDE_STEP or side % SIDE_STEP:
            raise ConfigError(f"LoFTRMatcher: side is {side}; give a multiple of {SIDE_STEP}")
        self.temperature, self.slice_dim, self.second_stage, self.side = temperature, slice_dim, second_stage, side
        self.width = widths[-1]
        self.pyramid_channels = widths[1:]
        self.net = _network(widths, blocks, depth, heads, slice_dim, temperature)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        """The backbone alone: what a picture shows without regard to another."""
        self.refuse_steps(keep, want, hooks)
        grey_V1HW = self.grey(inp)
        maps = list(self.net.efficientloftr.backbone(grey_V1HW))
        return Encoded(pooled=maps[-1].mean(dim=(2, 3)), pyramid=maps)

    def grey(self, inp: ModalityInput, weights_VC: Tensor | None = None) -> Tensor:
        """(V, 1, H, W) in [0, 1], cut to sides that are multiples of 32."""
        rows, columns = (n // SIDE_STEP * SIDE_STEP for n in inp.x.shape[-2:])
        if rows == 0 or columns == 0:
            raise ConfigError(f"pictures of {tuple(inp.x.shape[-2:])} pixels: the matcher reads sides of at least 32")
        grey_V1HW = composite(inp.x, inp.extra.get("valid"), weights_VC)
        return grey_V1HW[..., :rows, :columns]

    def pair(self, first_B1HW: Tensor, second_B1HW: Tensor) -> PairFeatures:
        """Features of two grey pictures of one size that have seen each other."""
        if first_B1HW.shape != second_B1HW.shape or any(n % SIDE_STEP for n in first_B1HW.shape[-2:]):
            raise ConfigError(
                f"a pair of pictures {tuple(first_B1HW.shape)} and {tuple(second_B1HW.shape)}: both have one size, "
                f"rows and columns multiples of {SIDE_STEP}"
            )
        both_B21HW = torch.stack([first_B1HW, second_B1HW], dim=1)
        coarse_B2Dhw, *residual = self.net.efficientloftr(both_B21HW).feature_maps
        coarse_B2Dhw = coarse_B2Dhw / self.width**0.5
        fine = self.net.refinement_layer.forward_pyramid(coarse_B2Dhw.flatten(0, 1), residual[::-1])
        fine_B2FHW = fine.view(*coarse_B2Dhw.shape[:2], *fine.shape[1:])
        coarse_B2ND = coarse_B2Dhw.flatten(3).transpose(2, 3)
        rows, columns = (int(n) for n in coarse_B2Dhw.shape[-2:])
        return PairFeatures(coarse_B2ND, (fine_B2FHW[:, 0], fine_B2FHW[:, 1]), (rows, columns))

    def fine(self, found: PairFeatures, pair_M: Tensor, first_M: Tensor, second_M: Tensor) -> tuple[Tensor, Tensor]:
        """Similarities within the fine windows of matched cells: of the first stage and of the second.

        Both (M, 64, 10, 10) float32: place of the first window, row and column of the second with one pixel around.
        """
        first_MKF = _windows(found.fine_2[0], pair_M, first_M, found.size[1], 0).flatten(2).transpose(1, 2)
        second_MFRS = _windows(found.fine_2[1], pair_M, second_M, found.size[1], 1)
        split = first_MKF.shape[-1] - self.slice_dim
        one_MKRS = torch.einsum("mkf,mfrs->mkrs", first_MKF[..., :split].float(), second_MFRS[:, :split].float())
        two_MKRS = torch.einsum("mkf,mfrs->mkrs", first_MKF[..., split:].float(), second_MFRS[:, split:].float())
        return one_MKRS / first_MKF.shape[-1], two_MKRS / self.slice_dim**0.5

    def around(self, two_MKRS: Tensor, match_P: Tensor, place_P: Tensor, partner_P: Tensor) -> Tensor:
        """(P, 9) second-stage similarities of the 3 x 3 places around `partner_P` (of 64), row by row."""
        begin = 0 if self.second_stage == "centred" else -1
        near_3 = torch.arange(3, device=two_MKRS.device) + begin
        row_P3, column_P3 = (partner_P // CELL)[:, None] + near_3, (partner_P % CELL)[:, None] + near_3
        ring = CELL + 2  # an index of -1, which "released" has at the border, is the last one
        return two_MKRS[
            match_P[:, None, None], place_P[:, None, None], row_P3[:, :, None] % ring, column_P3[:, None] % ring
        ].flatten(1)


def _windows(map_BFHW: Tensor, pair_M: Tensor, cell_M: Tensor, wide: int, ring: int) -> Tensor:
    """(M, F, 8 + 2 ring, 8 + 2 ring): the parts of fine maps that belong to cells, 0 beyond the picture."""
    padded_BFHW = F.pad(map_BFHW, (ring,) * 4)
    inner = torch.arange(CELL + 2 * ring, device=map_BFHW.device)
    row_MR, column_MS = (cell_M // wide * CELL)[:, None] + inner, (cell_M % wide * CELL)[:, None] + inner
    found_MRSF = padded_BFHW.permute(0, 2, 3, 1)[pair_M[:, None, None], row_MR[:, :, None], column_MS[:, None]]
    return found_MRSF.permute(0, 3, 1, 2)


def _network(
    widths: tuple[int, ...], blocks: tuple[int, ...], depth: int, heads: int, slice_dim: int, temperature: float
) -> Any:
    from transformers import EfficientLoFTRConfig, EfficientLoFTRForKeypointMatching

    config = EfficientLoFTRConfig(
        stage_num_blocks=list(blocks), out_features=list(widths), hidden_size=widths[-1], num_attention_layers=depth,
        num_attention_heads=heads, fine_matching_slice_dim=slice_dim, coarse_matching_temperature=temperature,
        # transformers derives the number of rotary frequencies from the width of a head; D / 4 of them are needed
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": heads / 2},
    )  # fmt: skip
    net = EfficientLoFTRForKeypointMatching(config)
    # What transformers draws is meant to be overwritten: scales of batch norm of 0.02 let nothing through
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    for name, parameter in net.named_parameters():
        if name.endswith("mlp.layer_norm.weight"):  # residual branches begin small, or similarities saturate
            nn.init.constant_(parameter, BRANCH)
    return net
