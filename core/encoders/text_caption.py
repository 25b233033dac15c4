"""The unimodal text encoder of CoCa (Yu et al. 2022): causal words, and a class token that reads all of them.

Shape legend: V = rows, T = ids, N = tokens, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.encoders.base import BlockContext
from core.encoders.text import TextTransformer
from core.encoders.transformer import prepend_class
from core.nn import ClsPool, Pooling
from core.types import ModalityInput, Tokens


class CaptionTextTransformer(TextTransformer):
    """Ids (V, T) -> 1 + T tokens: a class token, then the words.

    A word sees itself and those before it, never the class token; the class token sees every real word and no padding.
    So the words may feed a caption decoder while the class token feeds a contrastive loss. pool: the class token when
    None. The class token stands in front of the prefix of the tokenizer. Others: `TextTransformer`.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        max_length: int = 128,
        width: int = 192,
        depth: int = 4,
        heads: int = 3,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        prefix: int = 0,
        pool: Pooling | None = None,
    ) -> None:
        super().__init__(
            vocab_size=vocab_size,
            max_length=max_length,
            width=width,
            depth=depth,
            heads=heads,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            drop_path=drop_path,
            prefix=prefix,
            pool=ClsPool() if pool is None else pool,
        )
        self.causal = True
        self.class_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, width), std=0.02))

    def embed(self, inp: ModalityInput) -> Tokens:
        words = super().embed(inp)
        mask = None if words.mask is None else torch.cat([words.mask.new_ones(len(words.x), 1), words.mask], dim=1)
        return Tokens(x=prepend_class(self.class_token, words.x), mask=mask, grid=words.grid, prefix=self.prefix + 1)

    def attn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        return self.blocks[i].attn_half(h, self._allowed(h, ctx))  # type: ignore[operator]

    @staticmethod
    def _allowed(h: Tensor, ctx: BlockContext) -> Tensor:
        """(V, N, N) bool: what each token may see. Tokens keep the order of the text, whichever of them are in h."""
        rows, count = h.shape[:2]
        order_VN = torch.arange(count, device=h.device).expand(rows, -1)
        if ctx.keep is not None:
            order_VN = torch.cat([order_VN[:, : ctx.prefix], ctx.keep + ctx.prefix], dim=1)
        allowed_VNN = order_VN[:, :, None] >= order_VN[:, None]
        allowed_VNN[:, 1:, 0] = False
        allowed_VNN[:, 0] = True
        return allowed_VNN if ctx.mask is None else allowed_VNN & ctx.mask[:, None]
