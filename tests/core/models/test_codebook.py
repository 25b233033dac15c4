"""Tables of codes and words, and where they start from."""

from __future__ import annotations

import pytest
import torch

from core.encoders import ImageTransformer, TextTransformer
from core.errors import ConfigError
from core.models import Codebook, DualEncoder, Placeholder, QueryMap, WordCodebook


def model(**heads) -> DualEncoder:
    return DualEncoder(
        encoders={
            "eye": ImageTransformer(image_size=16, patch=8, width=16, depth=1, heads=2, channels=1),
            "reader": TextTransformer(vocab_size=20, width=12, depth=1, heads=2),
        },
        modalities={"picture": "eye", "words": "reader"},
        dim=6,
        heads=heads,
    )


def test_a_word_codebook_starts_as_a_copy_of_the_text_encoders_words():
    built = model(words=WordCodebook(encoder="reader"), fixed=WordCodebook(encoder="reader", frozen=True))
    table = built.encoders["reader"].token_embedding.weight
    for name, trained in (("words", True), ("fixed", False)):
        head = built.heads[name]
        assert torch.equal(head(), table)
        assert head().requires_grad is trained
        assert head().data_ptr() != table.data_ptr()


def test_a_saved_codebook_is_restored_whole():
    built, other = model(words=WordCodebook(encoder="reader")), model(words=WordCodebook(encoder="reader"))
    with torch.no_grad():
        built.heads["words"].weight.add_(1)
    other.load_state_dict(built.state_dict())
    assert torch.equal(other.heads["words"](), built.heads["words"]())


def test_an_encoder_without_words_is_refused():
    with pytest.raises(ConfigError, match="encoder 'eye' has no token_embedding"):
        model(words=WordCodebook(encoder="eye"))
    with pytest.raises(ConfigError, match="did you mean 'reader'"):
        model(words=WordCodebook(encoder="readr"))


def test_tables_and_maps_have_the_widths_they_were_given():
    assert Codebook(codes=9, dim=4)().shape == (9, 4)
    assert QueryMap(width=12, dim=4)(torch.zeros(7, 12)).shape == (7, 4)
    assert Placeholder(dim=5)().shape == (5,)
    with pytest.raises(ConfigError, match="codes is 0"):
        Codebook(codes=0, dim=4)
    with pytest.raises(ConfigError, match="dim is 0"):
        Placeholder(dim=0)
