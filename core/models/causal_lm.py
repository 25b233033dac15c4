"""Causal language models that read word vectors, so that vectors of other modalities can stand among the words.

Shape legend: V = rows, T = tokens given at once, M = tokens seen so far, D = width, H = heads, K = width of a head,
W = vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from core.errors import ConfigError, DataError
from core.nn.attention import attend
from core.nn.block import TransformerBlock, blocks, init_transformer


class Cache(ABC):
    """What a model keeps of the tokens it has seen, row by row."""

    @abstractmethod
    def select(self, rows: Tensor) -> None:
        """Keep the rows `rows` (int64, repeats allowed), in that order."""


C = TypeVar("C", bound=Cache)


class CausalLM(nn.Module, ABC, Generic[C]):
    """Words in, states out; state t tells the word t + 1. Padding stands behind the real tokens of a row.

    width: D. vocab_size: W. max_length: most tokens of a row.
    """

    width: int
    vocab_size: int
    max_length: int

    @abstractmethod
    def words(self, ids_VT: Tensor) -> Tensor:
        """(V, T, D) vectors of token ids, without positions."""

    @abstractmethod
    def forward(self, x_VTD: Tensor, mask_VT: Tensor) -> Tensor:
        """(V, T, D) states. mask: True = real; states of padding mean nothing."""

    @abstractmethod
    def begin(self, x_VTD: Tensor, mask_VT: Tensor) -> tuple[Tensor, C]:
        """(V, D) state of each row's last real token, and what is needed to go on from there."""

    @abstractmethod
    def go_on(self, x_VD: Tensor, cache: C) -> Tensor:
        """(V, D) state after one more token per row, given as its vector; the cache grows by it."""

    @property
    @abstractmethod
    def output(self) -> tuple[Tensor, Tensor | None]:
        """Weight (W, D) and bias (W,) of the linear map from states to logits of the next word."""


class KeyValues(Cache):
    """Keys and values of every block, (V, H, M, K) each; mask (V, M) of real tokens; length (V,) of each row."""

    def __init__(self, mask_VM: Tensor) -> None:
        self.mask_VM, self.length_V = mask_VM, mask_VM.sum(dim=1)
        self.layers: list[tuple[Tensor, Tensor]] = []

    def select(self, rows: Tensor) -> None:
        self.mask_VM, self.length_V = self.mask_VM[rows], self.length_V[rows]
        self.layers = [(key[rows], value[rows]) for key, value in self.layers]


class TransformerLM(CausalLM[KeyValues]):
    """A pre-norm decoder (Radford et al. 2019) with learned positions; word vectors are also the output map.

    Raises DataError for rows longer than max_length.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        max_length: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if vocab_size < 1 or max_length < 1:
            raise ConfigError(f"TransformerLM: vocab_size {vocab_size} and max_length {max_length} must be positive")
        self.vocab_size, self.width, self.max_length = vocab_size, width, max_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(max_length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = blocks(depth=depth, width=width, heads=heads, dropout=dropout, causal=True)
        self.norm = nn.LayerNorm(width)
        init_transformer(self)

    @property
    def output(self) -> tuple[Tensor, Tensor | None]:
        return self.token_embedding.weight, None

    def words(self, ids_VT: Tensor) -> Tensor:
        return self.token_embedding(ids_VT)

    def _enter(self, x_VTD: Tensor) -> Tensor:
        if x_VTD.shape[1] > self.max_length:
            raise DataError(f"TransformerLM got {x_VTD.shape[1]} tokens, it takes up to {self.max_length}")
        return self.dropout(x_VTD + self.positions.weight[: x_VTD.shape[1]].to(x_VTD.dtype))

    def forward(self, x_VTD: Tensor, mask_VT: Tensor) -> Tensor:
        h_VTD = self._enter(x_VTD)
        for block in self.blocks:  # no real token sees the padding, which stands behind it
            h_VTD = block(h_VTD)
        return self.norm(h_VTD)

    def begin(self, x_VTD: Tensor, mask_VT: Tensor) -> tuple[Tensor, KeyValues]:
        cache, h_VTD = KeyValues(mask_VT), self._enter(x_VTD)
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            q, k, v = _queries_keys_values(block, h_VTD)
            h_VTD = _rest(block, h_VTD, attend(q, k, v, causal=True))
            cache.layers.append((k, v))
        last_V = (cache.length_V - 1).clamp_min(0)
        return self.norm(h_VTD[torch.arange(len(h_VTD), device=h_VTD.device), last_V]), cache

    def go_on(self, x_VD: Tensor, cache: KeyValues) -> Tensor:
        if int(cache.length_V.max()) >= self.max_length:
            raise DataError(f"TransformerLM: a row would grow beyond {self.max_length} tokens; ask for fewer")
        cache.mask_VM = torch.cat([cache.mask_VM, torch.ones_like(cache.mask_VM[:, :1])], dim=1)
        h_V1D = (x_VD + self.positions(cache.length_V).to(x_VD.dtype))[:, None]
        cache.length_V = cache.length_V + 1
        for i, block in enumerate(self.blocks):
            assert isinstance(block, TransformerBlock)
            q, k, v = _queries_keys_values(block, h_V1D)
            k, v = (torch.cat([old, new], dim=2) for old, new in zip(cache.layers[i], (k, v), strict=True))
            cache.layers[i] = k, v
            h_V1D = _rest(block, h_V1D, attend(q, k, v, cache.mask_VM))
        return self.norm(h_V1D[:, 0])


def _queries_keys_values(block: TransformerBlock, h_VTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(V, H, T, K) each, as the block's own attention makes them."""
    parts = block.attn.qkv(block.attn_norm(h_VTD)).chunk(3, dim=-1)
    q, k, v = (part.unflatten(-1, (block.attn.heads, -1)).transpose(1, 2) for part in parts)
    return q, k, v


def _rest(block: TransformerBlock, h_VTD: Tensor, read_VHTK: Tensor) -> Tensor:
    """What a block does with what its attention has read, without dropout: for inference."""
    return block.ffn_half(h_VTD + block.attn.out(read_VHTK.transpose(1, 2).flatten(-2)))
