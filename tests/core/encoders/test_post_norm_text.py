"""The arithmetic of BERT, shown beside transformers' own, and what padding and length may do."""

import pytest
import torch

from core.encoders import BlockHook, PostNormText
from core.errors import ConfigError, DataError
from core.types import ModalityInput

IDS = torch.tensor([[2, 7, 8, 3], [2, 9, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.bool)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    made = PostNormText(vocab_size=12, max_length=6, width=16, depth=2, heads=4, embedding_std=0.5)
    return made.double().eval()


def test_states_are_those_of_bert(encoder):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=6, attn_implementation="eager",
    )  # fmt: skip
    bert = transformers.BertModel(config, add_pooling_layer=False).double().eval()
    own = encoder.state_dict()
    for name, parameter in bert.named_parameters():
        parameter.data.copy_(counterpart(name, own))
    found = bert(input_ids=IDS, attention_mask=MASK.long()).last_hidden_state
    ours = encoder(ModalityInput(IDS, MASK))
    torch.testing.assert_close(ours.tokens.x[MASK], found[MASK], rtol=0, atol=1e-9)
    torch.testing.assert_close(ours.pooled, found[:, 0], rtol=0, atol=1e-9)


def counterpart(name, own):
    """The tensor of ours that a parameter of transformers' BERT equals."""
    kind = name.rsplit(".", 1)[1]
    tables = {"word": "token", "position": "position", "token_type": "type"}
    for theirs, ours in tables.items():
        if name == f"embeddings.{theirs}_embeddings.weight":
            return own[f"{ours}_embedding.weight"]
    if name.startswith("embeddings.LayerNorm"):
        return own[f"embedding_norm.{kind}"]
    layer, part = name.removeprefix("encoder.layer.").split(".", 1)
    at = f"blocks.{layer}."
    for i, ask in enumerate(("query", "key", "value")):
        if part.startswith(f"attention.self.{ask}"):
            return own[f"{at}attn.qkv.{kind}"].chunk(3)[i]
    ours = {"attention.output.dense": "attn.out", "attention.output.LayerNorm": "attn_norm",
            "intermediate.dense": "ffn.0", "output.dense": "ffn.3", "output.LayerNorm": "ffn_norm"}  # fmt: skip
    return own[f"{at}{ours[part.rsplit('.', 1)[0]]}.{kind}"]


def test_padding_changes_nothing(encoder):
    longer = torch.cat([IDS, torch.full((2, 2), 5)], dim=1)
    mask = torch.cat([MASK, torch.zeros(2, 2, dtype=torch.bool)], dim=1)
    before, after = encoder(ModalityInput(IDS, MASK)), encoder(ModalityInput(longer, mask))
    torch.testing.assert_close(after.pooled, before.pooled, rtol=0, atol=1e-12)
    torch.testing.assert_close(after.tokens.x[:, :4][MASK], before.tokens.x[MASK], rtol=0, atol=1e-12)


def test_hooks_and_kept_tokens_work_between_its_steps(encoder):
    doubled = BlockHook(0, "after_attn", lambda h, ctx: 2 * h)
    assert not torch.allclose(
        encoder(ModalityInput(IDS, MASK), hooks=[doubled]).pooled, encoder(ModalityInput(IDS)).pooled
    )
    kept = encoder(ModalityInput(IDS, MASK), keep=torch.tensor([[0, 2], [0, 1]]), want=[1])
    assert kept.tokens.x.shape == (2, 3, 16)
    torch.testing.assert_close(kept.layers[1], kept.tokens.x)  # no norm behind the last block


def test_faults_name_the_number(encoder):
    with pytest.raises(DataError, match="got 7 tokens, it takes up to 6"):
        encoder(ModalityInput(torch.zeros(1, 7, dtype=torch.int64)))
    with pytest.raises(ConfigError, match="depth 0"):
        PostNormText(vocab_size=3, depth=0)
