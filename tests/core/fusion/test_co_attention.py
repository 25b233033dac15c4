"""Legend: V = rows, N, M = tokens of the two streams, D = width."""

import pytest
import torch
from torch import nn

from core.errors import ConfigError
from core.fusion import CoAttention
from core.types import Tokens

V, N, M = 2, 5, 4


@pytest.fixture
def fusion():
    torch.manual_seed(0)
    fusion = CoAttention(width=16, depth=4, heads=2, inputs={"image": 12, "text": 8}, dropout=0.0).eval()
    for part in fusion.modules():  # larger than the usual start, so that every path shows in the result
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.3)
    return fusion


@pytest.fixture
def streams():
    rng = torch.Generator().manual_seed(1)
    mask_VM = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
    return {
        "image": Tokens(torch.randn(V, N, 12, generator=rng), prefix=1, grid=(2, 2)),
        "text": Tokens(torch.randn(V, M, 8, generator=rng), mask=mask_VM),
    }


def test_the_result_names_streams_layers_and_joint(fusion, streams):
    fused = fusion(streams, want=(0, 2))
    assert {name: tokens.x.shape for name, tokens in fused.streams.items()} == {"image": (V, N, 16), "text": (V, M, 16)}
    assert fused.streams["image"].grid == (2, 2)
    assert sorted(fused.layers) == [0, 2]
    assert fused.joint.shape == (V, fusion.joint_width)
    assert torch.equal(fused.joint, torch.cat([fused.pooled["image"], fused.pooled["text"]], dim=1))
    assert dict(fusion.needs) == {}


def test_poolers_take_the_class_token_or_the_mean_of_real_tokens(fusion, streams):
    fused = fusion(streams)
    image, text = fused.streams["image"].x, fused.streams["text"].x
    torch.testing.assert_close(fused.pooled["image"], fusion.poolers["image"].linear(image[:, 0]).tanh())
    mean_text = torch.stack([text[0].mean(0), text[1, :2].mean(0)])
    torch.testing.assert_close(fused.pooled["text"], fusion.poolers["text"].linear(mean_text).tanh())


def test_masked_tokens_change_nothing(fusion, streams):
    noisy = streams["text"].x.masked_fill(~streams["text"].mask[..., None], 30.0)
    other = fusion({**streams, "text": Tokens(noisy, mask=streams["text"].mask)})
    torch.testing.assert_close(other.joint, fusion(streams).joint, rtol=0, atol=1e-6)
    alone = {
        "image": Tokens(streams["image"].x[1:], prefix=1),
        "text": Tokens(streams["text"].x[1:, :2]),
    }
    torch.testing.assert_close(fusion(alone).joint, fusion(streams).joint[1:], rtol=0, atol=1e-5)


def test_without_cross_attention_each_stream_is_unimodal(fusion, streams):
    changed = {**streams, "text": Tokens(streams["text"].x + 1.0, mask=streams["text"].mask)}
    assert not torch.allclose(fusion(changed).pooled["image"], fusion(streams).pooled["image"])
    for stack in fusion.layers.values():
        for layer in stack:
            nn.init.zeros_(layer.cross_attn.out.weight)
            nn.init.zeros_(layer.cross_attn.out.bias)
    assert torch.equal(fusion(changed).pooled["image"], fusion(streams).pooled["image"])
    assert not torch.allclose(fusion(changed).pooled["text"], fusion(streams).pooled["text"])


def test_both_streams_read_the_other_before_the_layer(fusion, streams):
    layer_0 = fusion(streams, want=(0,), stop_after=0).layers[0]
    x, y = (
        fusion.projections[name](streams[name].x) + fusion.type_embeddings.weight[i]
        for i, name in enumerate(("image", "text"))
    )
    mask = streams["text"].mask
    torch.testing.assert_close(layer_0["image"], fusion.layers["image"][0](x, y, None, mask))
    torch.testing.assert_close(layer_0["text"], fusion.layers["text"][0](y, x, mask, None))


def test_a_layer_is_post_norm_self_cross_feed_forward(fusion, streams):
    layer = fusion.layers["image"][0]
    x, y = torch.randn(V, N, 16), torch.randn(V, M, 16)
    a = layer.self_norm(x + layer.self_attn(x))
    b = layer.cross_norm(a + layer.cross_attn(a, y))
    torch.testing.assert_close(layer(x, y), layer.ffn_norm(b + layer.ffn(b)))


def test_swapping_modalities_and_weights_swaps_the_results(fusion, streams):
    swapped = CoAttention(width=16, depth=4, heads=2, inputs={"text": 8, "image": 12}, dropout=0.0).eval()
    state = fusion.state_dict()
    state["type_embeddings.weight"] = state["type_embeddings.weight"].flip(0)
    swapped.load_state_dict(state)
    torch.testing.assert_close(swapped(streams).joint, fusion(streams).joint.roll(16, dims=1))


def test_a_loss_on_an_early_layer_leaves_the_later_ones_alone(fusion, streams):
    fusion(streams, want=(1,)).layers[1]["image"].square().sum().backward()
    for stack in fusion.layers.values():
        assert all(p.grad is None for layer in stack[2:] for p in layer.parameters())
    assert fusion.layers["text"][0].ffn[0].weight.grad.abs().sum() > 0


def test_stopping_early_gives_the_same_early_layers(fusion, streams):
    early = fusion(streams, want=(1,), stop_after=1)
    assert torch.equal(early.layers[1]["text"], fusion(streams, want=(1,)).layers[1]["text"])
    assert torch.equal(early.streams["text"].x, early.layers[1]["text"])


def test_gradients_are_finite_even_with_an_empty_text(fusion, streams):
    empty = {**streams, "text": Tokens(streams["text"].x, mask=torch.zeros(V, M, dtype=torch.bool))}
    fusion(empty).joint.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())


def test_bf16_autocast_stays_close(fusion, streams):
    with torch.autocast("cpu", torch.bfloat16):
        low = fusion(streams).joint
    torch.testing.assert_close(low.float(), fusion(streams).joint, rtol=0, atol=0.1)


def test_what_does_not_fit_is_named(fusion, streams):
    with pytest.raises(ConfigError, match="got a stream 'txt'; did you mean 'text'"):
        fusion({"image": streams["image"], "txt": streams["text"]})
    with pytest.raises(ConfigError, match="got no stream 'text'"):
        fusion({"image": streams["image"]})
    with pytest.raises(ConfigError, match=r"tokens of 'text' have width 12, inputs\.text says 8"):
        fusion({"image": streams["image"], "text": Tokens(streams["image"].x)})
    with pytest.raises(ConfigError, match="layers 0 to 3 and runs up to 1; layer 2 was asked for"):
        fusion(streams, want=(2,), stop_after=1)
    with pytest.raises(ConfigError, match="'text' has 1 rows"):
        fusion({**streams, "text": Tokens(streams["text"].x[:1])})
    with pytest.raises(ConfigError, match="inputs names 1 modalities"):
        CoAttention(width=16, depth=1, heads=2, inputs={"image": 8})
