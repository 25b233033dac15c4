"""A decoder that reads words by the encoder's embedding: one table, two users; and what it refuses."""

import pytest
import torch

from core.encoders import ImageTransformer, TextTransformer
from core.errors import ConfigError
from core.models import DualEncoder, SharedWordDecoder


def make(width: int = 8, vocab: int = 20, encoder: str = "text") -> DualEncoder:
    return DualEncoder(
        encoders={
            "text": TextTransformer(vocab_size=20, max_length=8, width=8, depth=1, heads=2),
            "image": ImageTransformer(image_size=8, patch=4, channels=1, width=8, depth=1, heads=2),
        },
        modalities={"text": "text"},
        dim=4,
        heads={"tell": SharedWordDecoder(encoder=encoder, width=width, depth=1, heads=2, vocab_size=vocab)},
    )


def test_encoder_and_decoder_have_one_table():
    model = make()
    table = model.encoders["text"].token_embedding.weight
    assert model.heads["tell"].token_embedding.weight is table
    assert sum(p is table for p in model.parameters()) == 1
    state = model.state_dict()
    other = make()
    other.load_state_dict(state)
    torch.testing.assert_close(other.heads["tell"].token_embedding.weight, table)
    assert other.heads["tell"].token_embedding.weight is other.encoders["text"].token_embedding.weight


@pytest.mark.parametrize(
    ("change", "said"),
    [({"width": 16}, "20 x 16"), ({"vocab": 30}, "30 x 8"), ({"encoder": "txt"}, "did you mean 'text'"),
     ({"encoder": "image"}, "it has none")],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        make(**change)
