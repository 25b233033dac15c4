"""One 2D encoder for images and for volumes: the slice-pooling adapter of RadCLIP (Lu et al. 2024).

Shape legend: V = rows, C = channels, S = slices, H, W = pixels, M = real slices of all rows, D = width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError, DataError
from core.nn import MeanPool, Pooling, SelfAttention, SinCosPositions, using_kind
from core.types import Encoded, ModalityInput, Tokens

PICTURES, SLICES = 0, 1  # kinds of input, for layers that keep statistics of each


class SlicePooled(Encoder):
    """(V, C, H, W): exactly what `encoder` gives. (V, C, S, H, W), mask (V, S): slices encoded as one batch, then
    y = x + MHA(LN(x) + p) over the slice index, and y pooled over the real slices.

    The attention starts at zero, so that a fresh adapter is the plain pooling of slices, and a one-slice volume is the
    image. Positions p go into the attention only, never into the residual: with zero attention nothing else is left.
    heads: of the slice attention. max_slices: largest S. positions: False makes the result independent of slice order.
    pool: over slices, mean when None; MeanMaxPool or AttentionPool where a finding may fill one slice only.
    For volumes tokens are the S slice vectors y, and the pyramid holds maps (V, C, S, h, w), zero at padding slices,
    which are never computed. Raises DataError for a volume with more slices.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        heads: int = 4,
        max_slices: int = 256,
        positions: bool = True,
        dropout: float = 0.0,
        pool: Pooling | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.width, self.pyramid_channels = encoder.width, encoder.pyramid_channels
        self.max_slices = max_slices
        self.positions = SinCosPositions(grid=(max_slices,), width=self.width) if positions else None
        self.norm = nn.LayerNorm(self.width)
        self.attn = SelfAttention(width=self.width, heads=heads, dropout=dropout)
        nn.init.zeros_(self.attn.out.weight)
        nn.init.zeros_(self.attn.out.bias)
        self.pool = MeanPool() if pool is None else pool

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        if inp.x.ndim == 4:
            with using_kind(self.encoder, PICTURES):
                return self.encoder(inp, keep=keep, want=want, hooks=hooks)
        if keep is not None or len(want) > 0 or len(hooks) > 0:
            raise ConfigError(
                "SlicePooled takes keep, want and hooks for images only, where the 2D encoder's tokens are the tokens; "
                "for volumes use core.encoders.VolumeTransformer"
            )
        if inp.x.ndim != 5:
            raise DataError(f"SlicePooled got shape {tuple(inp.x.shape)}; expected (V, C, H, W) or (V, C, S, H, W)")
        if inp.x.shape[2] > self.max_slices:
            raise DataError(
                f"SlicePooled got {inp.x.shape[2]} slices, it takes up to {self.max_slices}; "
                "raise max_slices or let the processor resample"
            )
        return self._volume(inp.x.transpose(1, 2), inp.mask)

    def _volume(self, x_VSCHW: Tensor, mask_VS: Tensor | None) -> Encoded:
        rows, slices = x_VSCHW.shape[:2]
        flat_MCHW = x_VSCHW.flatten(0, 1) if mask_VS is None else x_VSCHW[mask_VS]
        with using_kind(self.encoder, SLICES):
            encoded = self.encoder(ModalityInput(x=flat_MCHW))

        def back(flat: Tensor) -> Tensor:
            if mask_VS is None:
                return flat.unflatten(0, (rows, slices))
            return flat.new_zeros(rows, slices, *flat.shape[1:]).masked_scatter(
                mask_VS.reshape(rows, slices, *(1,) * (flat.ndim - 1)), flat
            )

        x_VSD = back(encoded.pooled)
        y_VSD = x_VSD + self._exchange(x_VSD, mask_VS)
        return Encoded(
            pooled=self.pool(y_VSD, mask_VS),
            tokens=Tokens(x=y_VSD, mask=mask_VS, grid=(slices,)),
            pyramid=None if encoded.pyramid is None else [back(level).transpose(1, 2) for level in encoded.pyramid],
        )

    def _exchange(self, x_VSD: Tensor, mask_VS: Tensor | None) -> Tensor:
        asked_VSD = self.norm(x_VSD)
        if self.positions is not None:
            asked_VSD = asked_VSD + self.positions((self.max_slices,))[: x_VSD.shape[1]].to(asked_VSD.dtype)
        return self.attn(asked_VSD, mask_VS)
