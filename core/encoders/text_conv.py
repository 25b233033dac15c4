"""Text encoder of convolutions over token embeddings, pooled by mean and maximum.

Shape legend: V = rows, T = tokens, D = width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.nn import MaxPool, MeanPool
from core.types import Encoded, ModalityInput, Tokens


class TextConvNet(Encoder):
    """Token ids (V, T) int64, mask (V, T) -> tokens and pooled vector (Kim 2014, with residual layers).

    Each layer is h + gelu(conv(LN(h))) over `kernel` neighbouring tokens; the pooled vector is mean and maximum over
    the real tokens side by side, so D = 2 * channels, and tokens are doubled likewise. A fact of a report is a phrase,
    and the maximum finds a phrase wherever it stands: from scratch on 1,600 reports this encoder matched findings to
    impressions better than a transformer of its width in equal time (docs/decisions.md). It has no order
    beyond the reach of its kernels; take `TextTransformer` where there is text enough. Padding changes nothing, and any
    length is taken.
    """

    def __init__(self, *, vocab_size: int, channels: int = 128, depth: int = 1, kernel: int = 3, dropout: float = 0.0):
        super().__init__()
        if min(vocab_size, channels, depth) < 1 or kernel < 1 or kernel % 2 == 0:
            raise ConfigError(
                f"TextConvNet: vocab_size {vocab_size}, channels {channels}, depth {depth} must be positive, "
                f"and kernel {kernel} odd"
            )
        self.vocab_size, self.width = vocab_size, 2 * channels
        self.token_embedding = nn.Embedding(vocab_size, channels)
        # Large enough for the maximum to tell tokens apart from the first step
        nn.init.normal_(self.token_embedding.weight, std=0.3)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(depth))
        self.convs = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=kernel // 2) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)
        self.mean, self.max = MeanPool(), MaxPool()

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        h_VTD = self.dropout(self.token_embedding(inp.x))
        for norm, conv in zip(self.norms, self.convs, strict=True):
            near_VTD = norm(h_VTD)
            if inp.mask is not None:  # what a convolution sees beyond the text is zero, whatever the padding
                near_VTD = near_VTD * inp.mask[..., None].to(near_VTD.dtype)
            h_VTD = h_VTD + F.gelu(conv(near_VTD.transpose(1, 2))).transpose(1, 2)
        pooled_VD = torch.cat([self.mean(h_VTD, inp.mask), self.max(h_VTD, inp.mask)], dim=1)
        tokens = Tokens(x=torch.cat([h_VTD, h_VTD], dim=2), mask=inp.mask, grid=(h_VTD.shape[1],))
        return Encoded(pooled=pooled_VD, tokens=tokens)
