"""A text transformer that is told the role of each word of a fact.

Shape legend: V = rows, T = tokens, D = width.
"""

from __future__ import annotations

import torch
from torch import nn

from core.encoders import TextTransformer
from core.errors import DataError
from core.nn import Pooling
from core.types import ModalityInput, Tokens
from domains.molecules.facts.linear import ROLES
from domains.molecules.facts.processors import FACT, ROLE


class FactTransformer(TextTransformer):
    """`TextTransformer` plus an embedding of each token's role (entity, relation, object, qualifier; XF2T's fact-aware
    embeddings, from memory of the paper) and, for facts > 0, of the number of its fact (our reading of its
    structure-aware encoding, unconfirmed). Both tables begin at 0, where it is a `TextTransformer` exactly.

    facts: largest number of a fact that is told from others; further ones count as the last. An input without roles
    (a sentence) is read as plain text.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        max_length: int = 250,
        width: int = 192,
        depth: int = 4,
        heads: int = 3,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        prefix: int = 1,
        pool: Pooling | None = None,
        embedding_std: float = 0.02,
        facts: int = 0,
    ) -> None:
        super().__init__(
            vocab_size=vocab_size, max_length=max_length, width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio,
            dropout=dropout, prefix=prefix, pool=pool, embedding_std=embedding_std,
        )  # fmt: skip
        self.role_embedding = nn.Embedding(ROLES, width)
        self.fact_embedding = nn.Embedding(facts + 1, width) if facts else None
        nn.init.zeros_(self.role_embedding.weight)
        if self.fact_embedding is not None:
            nn.init.zeros_(self.fact_embedding.weight)

    def embed(self, inp: ModalityInput) -> Tokens:
        tokens = super().embed(inp)
        if ROLE not in inp.extra:
            return tokens
        roles_VT, facts_VT = inp.extra[ROLE], inp.extra.get(FACT)
        if roles_VT.shape != inp.x.shape:
            raise DataError(f"roles have shape {tuple(roles_VT.shape)} and ids {tuple(inp.x.shape)}; one role per id")
        added_VTD = self.role_embedding(roles_VT)
        if self.fact_embedding is not None and facts_VT is not None:
            last = self.fact_embedding.num_embeddings - 1
            added_VTD = added_VTD + self.fact_embedding(torch.clamp(facts_VT, max=last))
        tokens.x = tokens.x + added_VTD.to(tokens.x.dtype)
        return tokens
