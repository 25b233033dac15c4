"""The upper half of a text encoder: which tokens it sees, that absent answers are absent, that it is BERT's."""

import pytest
import torch

from core.errors import ConfigError
from core.fusion import CrossEncoder
from core.types import Tokens

WIDTH, HEADS = 16, 4


@pytest.fixture
def fusion():
    torch.manual_seed(0)
    made = CrossEncoder(
        width=WIDTH,
        depth=2,
        heads=HEADS,
        inputs={"text": WIDTH, "graph": 12, "known": 8},
        optional=["known"],
        dropout=0,
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.3)
    return made.double().eval()


@pytest.fixture
def streams():
    rng = torch.Generator().manual_seed(1)

    def tokens(n, width, prefix=0):
        x = torch.randn(3, n, width, generator=rng, dtype=torch.float64)
        return Tokens(x=x, mask=torch.arange(n) < torch.tensor([[n], [n - 1], [n - 2]]), prefix=prefix)

    return {"text": tokens(6, WIDTH, 1), "graph": tokens(7, 12), "known": tokens(4, 8)}


@pytest.mark.parametrize("name", ["text", "graph", "known"])
def test_padded_tokens_reach_nothing(fusion, streams, name):
    before = fusion(streams)
    tokens = streams[name]
    changed = torch.where(tokens.mask[..., None], tokens.x, torch.full_like(tokens.x, 1e3))
    after = fusion({**streams, name: Tokens(x=changed, mask=tokens.mask, prefix=tokens.prefix)})
    torch.testing.assert_close(after.joint, before.joint, rtol=0, atol=1e-12)
    real = streams["text"].mask
    torch.testing.assert_close(after.streams["text"].x[real], before.streams["text"].x[real], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["graph", "known"])
def test_the_order_of_answers_changes_nothing(fusion, streams, name):
    order = torch.randperm(streams[name].x.shape[1], generator=torch.Generator().manual_seed(2))
    turned = Tokens(x=streams[name].x[:, order], mask=streams[name].mask[:, order])
    torch.testing.assert_close(fusion({**streams, name: turned}).joint, fusion(streams).joint, rtol=0, atol=1e-12)


def test_masked_answers_are_as_if_they_were_not_there(fusion, streams):
    nothing = Tokens(x=streams["known"].x, mask=torch.zeros_like(streams["known"].mask))
    without = fusion({name: streams[name] for name in ("text", "graph")})
    masked = fusion({**streams, "known": nothing})
    torch.testing.assert_close(masked.joint, without.joint, rtol=0, atol=1e-13)
    assert not torch.allclose(fusion(streams).joint, without.joint)


def test_a_row_without_any_real_answer_stays_finite(fusion, streams):
    nothing = {n: Tokens(x=t.x, mask=torch.zeros_like(t.mask)) for n, t in streams.items() if n != "text"}
    joint = fusion({"text": streams["text"], **nothing}).joint
    assert torch.isfinite(joint).all()


def test_attention_sums_to_one_over_words_and_over_all_answers(fusion, streams):
    seen = fusion.attention(streams)
    assert {name: tuple(x.shape) for name, x in seen.items()} == {
        "text": (3, 6, 6), "graph": (3, 6, 7), "known": (3, 6, 4)
    }  # fmt: skip
    torch.testing.assert_close(seen["text"].sum(-1), torch.ones(3, 6))
    torch.testing.assert_close(seen["graph"].sum(-1) + seen["known"].sum(-1), torch.ones(3, 6))
    assert (seen["graph"].transpose(1, 2)[~streams["graph"].mask] == 0).all()


def test_attention_is_what_the_layer_mixes_values_with(fusion, streams):
    block, text = fusion.layers[0], streams["text"]
    answer = fusion.projections["graph"](streams["graph"].x)
    h = block.self_norm(text.x + block.self_attn(text.x, text.mask))
    weight_VHNM = block.cross_attn.weights(h, answer, streams["graph"].mask).double()
    value = block.cross_attn.key_value(answer).chunk(2, dim=-1)[1].unflatten(-1, (HEADS, -1)).transpose(1, 2)
    mixed = (weight_VHNM @ value).transpose(1, 2).flatten(-2)
    expected = block.cross_attn(h, answer, streams["graph"].mask)
    torch.testing.assert_close(block.cross_attn.out(mixed), expected, rtol=1e-5, atol=1e-5)


def test_without_a_class_token_the_joint_vector_is_the_mean_of_real_tokens(fusion, streams):
    text = Tokens(x=streams["text"].x, mask=streams["text"].mask)
    out = fusion({**streams, "text": text})
    real = text.mask[..., None].double()
    torch.testing.assert_close(out.joint, (out.streams["text"].x * real).sum(1) / real.sum(1))


def test_layers_can_be_kept_and_left_out(fusion, streams):
    kept = fusion(streams, want=[0])
    torch.testing.assert_close(fusion(streams, stop_after=0).streams["text"].x, kept.layers[0]["text"])
    with pytest.raises(ConfigError, match="layers 0 to 1 and runs up to 1; layer 2"):
        fusion(streams, want=[2])


def test_faults_name_the_stream(fusion, streams):
    with pytest.raises(ConfigError, match="got no stream 'graph'"):
        fusion({"text": streams["text"], "known": streams["known"]})
    with pytest.raises(ConfigError, match="'text' asks with tokens of width 8; set width"):
        CrossEncoder(width=16, depth=1, heads=4, inputs={"text": 8, "graph": 8})
    with pytest.raises(ConfigError, match="optional names words; valid: graph"):
        CrossEncoder(width=16, depth=1, heads=4, inputs={"text": 16, "graph": 8}, optional=["words"])
    with pytest.raises(ConfigError, match="give 1 layer and 2 inputs"):
        CrossEncoder(width=16, depth=1, heads=4, inputs={"text": 16})


def test_a_layer_is_that_of_bert_with_cross_attention(fusion, streams):
    transformers = pytest.importorskip("transformers")
    from transformers.models.bert.modeling_bert import BertLayer

    config = transformers.BertConfig(
        hidden_size=WIDTH, num_attention_heads=HEADS, intermediate_size=4 * WIDTH, is_decoder=True,
        add_cross_attention=True, attn_implementation="eager",
    )  # fmt: skip
    theirs, ours = BertLayer(config).double().eval(), fusion.layers[0]
    copy_attention(theirs.attention, ours.self_attn.qkv, ours.self_attn.out, ours.self_norm)
    cross = theirs.crossattention
    copy_linear(cross.self.query, ours.cross_attn.query.weight, ours.cross_attn.query.bias)
    for part, weight, bias in zip(
        (cross.self.key, cross.self.value), ours.cross_attn.key_value.weight.chunk(2),
        ours.cross_attn.key_value.bias.chunk(2), strict=True,
    ):  # fmt: skip
        copy_linear(part, weight, bias)
    copy_module(cross.output.dense, ours.cross_attn.out)
    copy_module(cross.output.LayerNorm, ours.cross_norm)
    copy_module(theirs.intermediate.dense, ours.ffn[0])
    copy_module(theirs.output.dense, ours.ffn[3])
    copy_module(theirs.output.LayerNorm, ours.ffn_norm)
    text, answer = streams["text"].x, fusion.projections["graph"](streams["graph"].x)
    every = torch.zeros(3, 1, 6, 6, dtype=torch.float64)
    found = theirs(text, attention_mask=every, encoder_hidden_states=answer)
    found = found[0] if isinstance(found, tuple) else found
    torch.testing.assert_close(ours(text, answer), found, rtol=0, atol=1e-9)


@torch.no_grad()
def copy_linear(target, weight, bias):
    target.weight.copy_(weight)
    target.bias.copy_(bias)


def copy_module(target, source):
    copy_linear(target, source.weight, source.bias)


def copy_attention(theirs, qkv, out, norm):
    parts = zip(
        (theirs.self.query, theirs.self.key, theirs.self.value), qkv.weight.chunk(3), qkv.bias.chunk(3), strict=True
    )
    for part, weight, bias in parts:
        copy_linear(part, weight, bias)
    copy_module(theirs.output.dense, out)
    copy_module(theirs.output.LayerNorm, norm)
