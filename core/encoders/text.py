"""Transformer over token ids, bidirectional (BERT) or causal (GPT).

Shape legend: V = rows, T = tokens, D = width.
"""

from __future__ import annotations

import torch
from torch import nn

from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError, DataError
from core.nn import LearnedPositions, MeanPool, Pooling, Positions, init_transformer
from core.types import ModalityInput, Tokens


class TextTransformer(TransformerEncoder):
    """Token ids (V, T) int64, mask (V, T) -> tokens and pooled vector. Padding changes neither.

    max_length: largest T. pool: mean over the real tokens when None; ClsPool for a tokenizer with a class token,
    LastPool for a causal encoder. prefix: special tokens in front that are no words (1 for a tokenizer that starts with
    a class token); they are always kept, and left out of means. `token_embedding` may be tied to a word head.
    embedding_std: of the fresh token embeddings. BERT's 0.02 needs long training before pooled words are told apart;
    0.3 suits runs of minutes from scratch.
    weight_std: of the fresh linear maps of the blocks. 0.02 suits a width of 768; at 64 what passes a block shrinks to
    a fortieth, and 0.1 keeps it.
    positions: a learned table when None; `StretchedPositions` for an encoder drawn out from a shorter one.
    Raises DataError for a longer sequence.
    """

    dense = False

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
        causal: bool = False,
        prefix: int = 0,
        pool: Pooling | None = None,
        embedding_std: float = 0.02,
        weight_std: float = 0.02,
        positions: Positions | None = None,
    ) -> None:
        super().__init__(
            width=width,
            depth=depth,
            heads=heads,
            pool=MeanPool() if pool is None else pool,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            drop_path=drop_path,
            causal=causal,
        )
        if vocab_size < 1 or max_length < 1 or not 0 <= prefix < max_length:
            raise ConfigError(
                f"TextTransformer: vocab_size {vocab_size}, max_length {max_length} and prefix {prefix}; "
                "the first two must be positive, and prefix smaller than max_length"
            )
        self.vocab_size, self.max_length, self.prefix = vocab_size, max_length, prefix
        self.token_embedding = nn.Embedding(vocab_size, width)
        init_transformer(self)
        with torch.no_grad():  # from the deviation that all parts begin with
            self.token_embedding.weight.mul_(embedding_std / 0.02)
            for part in self.blocks.modules():
                if isinstance(part, nn.Linear):
                    part.weight.mul_(weight_std / 0.02)
        self.positions = LearnedPositions(grid=(max_length,), width=width) if positions is None else positions
        if self.positions.grid != (max_length,) or self.positions.width != width:
            raise ConfigError(
                f"TextTransformer: the positions have grid {self.positions.grid} and width {self.positions.width}, "
                f"the encoder {(max_length,)} and {width}"
            )

    def embed(self, inp: ModalityInput) -> Tokens:
        length = inp.x.shape[1]
        if length > self.max_length:
            raise DataError(
                f"TextTransformer got {length} tokens, it takes up to {self.max_length}; "
                "raise max_length or let the processor truncate"
            )
        x_VTD = self.token_embedding(inp.x)
        x_VTD = x_VTD + self.positions((self.max_length,))[:length].to(x_VTD.dtype)
        return Tokens(x=self.dropout(x_VTD), mask=inp.mask, grid=(length - self.prefix,), prefix=self.prefix)
