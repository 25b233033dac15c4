"""Projections that read an encoder's tokens and the model's further heads, for spaces that no pooled vector lies in.

Training may look at the same space through views (`core.objectives.DiscreteTokens`, `Lexical`, `Query`), which never
hold the matches of all tokens with all codes; these make saved models, retrieval and prompts see what training saw.
Shape legend: V = rows in which the modality is present, N = tokens, M = real tokens of all rows, D = encoder width,
K = codes or words, E = width of the space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.errors import ConfigError, nearest
from core.nn import QueryPool, sparsemax
from core.types import Encoded, Tokens

CODES = 256  # of a table that are matched at once


class TokenProjection(nn.Module, ABC):
    """(V, E) from everything an encoder gives, with the help of the model's heads."""

    @abstractmethod
    def forward(self, encoded: Encoded, heads: nn.ModuleDict) -> Tensor:
        """Raises ConfigError for an encoder without tokens, and for a head that is not there."""


class CodeProjection(TokenProjection):
    """w C with w = sparsemax(max_n(q_n C^T) / sqrt(E) / T): finite discrete tokens (Chen et al. 2023, "FDT").

    codes, query: entries of the model's heads, a `Codebook` and a `QueryMap`. temperature: T, that of the last step
    where training moves it.
    """

    def __init__(self, *, query: str, codes: str = "codes", temperature: float = 1000.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"CodeProjection: temperature is {temperature}; give a value above 0")
        self.query, self.codes, self.temperature = query, codes, temperature

    def forward(self, encoded: Encoded, heads: nn.ModuleDict) -> Tensor:
        table_KE = _head(heads, self.codes)()
        match_VK = best_of_tokens(encoded, _head(heads, self.query), table_KE)
        weight_VK = sparsemax(match_VK * table_KE.shape[1] ** -0.5 / self.temperature)
        return weight_VK @ table_KE.to(weight_VK.dtype)


class WordProjection(TokenProjection):
    """log(1 + max(0, best match of any token)) for every word of a table: a lexical representation (LexVLA-style).

    mapper, words: entries of the model's heads, a map from the tokens' width to that of a word, and a table such as
    `WordCodebook`.
    """

    def __init__(self, *, mapper: str, words: str = "words") -> None:
        super().__init__()
        self.mapper, self.words = mapper, words

    def forward(self, encoded: Encoded, heads: nn.ModuleDict) -> Tensor:
        return best_of_tokens(encoded, _head(heads, self.mapper), _head(heads, self.words)()).relu().log1p()


class QueryProjection(TokenProjection):
    """What one learned query of a `QueryPool` among the model's heads reads: attentional pooling (Yu et al. 2022).

    index: which one, from 0; None for the mean of all, as one vector for models that compare the best of them.
    """

    def __init__(self, *, pool: str, index: int | None = 0) -> None:
        super().__init__()
        self.pool, self.index = pool, index

    def forward(self, encoded: Encoded, heads: nn.ModuleDict) -> Tensor:
        pool = _head(heads, self.pool)
        if not isinstance(pool, QueryPool):
            raise ConfigError(f"model.heads.{self.pool} is a {type(pool).__name__}, expected a core.nn.QueryPool")
        tokens = _tokens(encoded)
        read_VQE: Tensor = pool(tokens.x, tokens.mask)
        return read_VQE.mean(1) if self.index is None else read_VQE[:, self.index]


def best_of_tokens(encoded: Encoded, project: Callable[[Tensor], Tensor], table_KE: Tensor) -> Tensor:
    """(V, K) float32 or better: largest product of any real token, projected one by one, with each entry of a table;
    tokens in front of the grid take no part, a row without tokens gives 0."""
    tokens = _tokens(encoded)
    x_VND = tokens.x[:, tokens.prefix :]
    if tokens.mask is None:
        mask_VN = torch.ones(x_VND.shape[:2], dtype=torch.bool, device=x_VND.device)
    else:
        mask_VN = tokens.mask[:, tokens.prefix :]
    x_ME = project(x_VND[mask_VN])
    fine = torch.promote_types(x_ME.dtype, torch.float32)
    x_VNE = x_ME.new_zeros(*mask_VN.shape, x_ME.shape[1], dtype=fine)
    x_VNE[mask_VN] = x_ME.to(fine)
    low, none_V1 = torch.finfo(fine).min, ~mask_VN.any(1, keepdim=True)
    parts = []
    for part_CE in table_KE.to(fine).split(CODES):
        match_VNC = (x_VNE @ part_CE.T).masked_fill(~mask_VN[..., None], low)
        parts.append(match_VNC.amax(1).masked_fill(none_V1, 0))
    return torch.cat(parts, dim=1)


def _tokens(encoded: Encoded) -> Tokens:
    if encoded.tokens is None:
        raise ConfigError("this projection reads tokens and the encoder gives none; use a transformer encoder")
    return encoded.tokens


def _head(heads: nn.ModuleDict, name: str) -> nn.Module:
    if name not in heads:
        raise ConfigError(f"model.heads: there is no '{name}'{nearest(name, heads)}")
    return heads[name]
