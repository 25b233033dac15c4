"""Projections that read tokens show what the views of training show, and travel with a saved model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.encoders import ImageTransformer, TextTransformer
from core.errors import ConfigError
from core.models import (
    Codebook,
    CodeProjection,
    DualEncoder,
    QueryMap,
    QueryProjection,
    WordCodebook,
    WordProjection,
    token_projection,
)
from core.nn import QueryPool
from core.objectives import DiscreteTokens, Lexical, Query, Staircase, Step
from core.types import Batch, Encoded, ModalityInput

VIEWS = {
    "codes": DiscreteTokens(modality="text", query="ask", temperature=Staircase(start=0.3)),
    "words": Lexical(modality="text", mapper="map"),
    "query": Query(modality="text", head="pool", index=1),
}
PROJECTIONS = {
    "codes": CodeProjection(query="ask", temperature=0.3),
    "words": WordProjection(mapper="map"),
    "query": QueryProjection(pool="pool", index=1),
}


def model(kind: str, modality: str = "text") -> DualEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return DualEncoder(
            encoders={
                "image": ImageTransformer(image_size=16, patch=8, channels=1, width=8, depth=1, heads=2),
                "text": TextTransformer(vocab_size=12, max_length=9, width=8, depth=1, heads=2, prefix=1),
            },
            modalities={"image": "image", "text": "text"},
            dim=6,
            projections={modality: PROJECTIONS[kind]},
            heads={
                "codes": Codebook(codes=11, dim=6),
                "ask": QueryMap(width=8, dim=6),
                "words": WordCodebook(encoder="text"),
                "map": nn.Linear(8, 8),
                "pool": QueryPool(width=6, heads=2, queries=3, context_width=8),
            },
        )


def step(made: DualEncoder) -> Step:
    ids = torch.randint(5, 12, (4, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(7) < torch.tensor([7, 4, 2, 1])[:, None]  # the last row is a class token alone
    batch = Batch(list("abcd"), {"text": ModalityInput(ids, mask)}, {"text": torch.ones(4).bool()})
    return Step(model=made, batch=batch, index=0, generator=torch.Generator())


@pytest.mark.parametrize("kind", list(VIEWS))
def test_the_embedding_is_what_the_view_of_training_shows(kind, monkeypatch):
    monkeypatch.setattr(token_projection, "CODES", 4)  # several parts of the table
    made = model(kind)
    at = step(made)
    torch.testing.assert_close(at.embedding("text"), VIEWS[kind](at).x, rtol=0, atol=1e-5)
    vector, _ = made.embed("text", at.input("text"))
    want = torch.nn.functional.normalize(VIEWS[kind](at).x, dim=1)
    torch.testing.assert_close(vector, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", list(VIEWS))
def test_gradients_reach_the_heads_and_the_encoder(kind):
    made = model(kind)
    step(made).embedding("text").square().sum().backward()
    assert made.encoders["text"].token_embedding.weight.grad.any()
    name = {"codes": "ask", "words": "map", "query": "pool"}[kind]
    assert all(p.grad is not None for p in made.heads[name].parameters())


def test_the_mean_of_the_queries_is_one_vector_for_all_of_them():
    made = model("query")
    at = step(made)
    parts = [Query(modality="text", head="pool", index=i)(at).x for i in range(3)]
    found = QueryProjection(pool="pool", index=None)(at.encoded("text"), made.heads)
    torch.testing.assert_close(found, sum(parts) / 3, rtol=0, atol=1e-6)


def test_padding_changes_nothing():
    made = model("codes")
    at = step(made)
    short = at.input("text").rows(torch.tensor([1]))
    cut = ModalityInput(short.x[:, :4], short.mask[:, :4])
    torch.testing.assert_close(made.embed("text", short)[0], made.embed("text", cut)[0], rtol=0, atol=1e-6)


def test_errors_say_what_is_missing():
    made = model("codes")
    del made.heads["ask"]
    with pytest.raises(ConfigError, match="there is no 'ask'"):
        step(made).embedding("text")
    with pytest.raises(ConfigError, match="gives none; use a transformer"):
        PROJECTIONS["words"](Encoded(pooled=torch.zeros(2, 3)), made.heads)
    with pytest.raises(ConfigError, match=r"model\.heads\.map is a Linear, expected a core\.nn\.QueryPool"):
        QueryProjection(pool="map")(Encoded(pooled=torch.zeros(2, 8)), made.heads)
    with pytest.raises(ConfigError, match="temperature is 0"):
        CodeProjection(query="ask", temperature=0)
