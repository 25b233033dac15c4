"""The contract of steppable encoders, on every transformer of the suite. Legend: V = rows, N = tokens, D = width."""

import pytest
import torch

from core.encoders import (
    BlockHook,
    ConvNet,
    ImageTransformer,
    SlicePooled,
    TextTransformer,
    VolumeTransformer,
    require_steps,
)
from core.errors import ConfigError
from core.nn import ClsPool, ConvStem, LastPool
from core.types import ModalityInput

SMALL = {"width": 24, "depth": 3, "heads": 2}


def image():
    x = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    return ImageTransformer(image_size=16, patch=8, pool=ClsPool(), **SMALL), ModalityInput(x)


def image_conv_stem():
    stem = ConvStem(patch=(8, 8), channels=1, width=24)
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    return ImageTransformer(image_size=16, patch=8, channels=1, class_token=False, stem=stem, **SMALL), ModalityInput(x)


def volume():
    x = torch.randn(2, 1, 6, 16, 16, generator=torch.Generator().manual_seed(1))
    mask_VS = torch.tensor([[1] * 6, [1] * 3 + [0] * 3], dtype=torch.bool)
    return VolumeTransformer(volume_size=(8, 16, 16), patch=(2, 8, 8), channels=1, **SMALL), ModalityInput(x, mask_VS)


def text():
    x = torch.randint(30, (2, 7), generator=torch.Generator().manual_seed(1))
    mask_VT = torch.tensor([[1] * 7, [1] * 4 + [0] * 3], dtype=torch.bool)
    return TextTransformer(vocab_size=30, max_length=9, prefix=1, **SMALL), ModalityInput(x, mask_VT)


def causal_text():
    x = torch.randint(30, (2, 7), generator=torch.Generator().manual_seed(1))
    return TextTransformer(vocab_size=30, max_length=9, causal=True, pool=LastPool(), **SMALL), ModalityInput(x)


@pytest.fixture(params=[image, image_conv_stem, volume, text, causal_text], ids=lambda make: make.__name__)
def case(request):
    torch.manual_seed(0)
    encoder, inp = request.param()
    return encoder.eval(), inp


def grid_tokens(encoder, inp):
    tokens = encoder.embed(inp)
    return tokens.x.shape[1] - tokens.prefix


def test_forward_is_the_fold_of_its_steps_bit_for_bit(case):
    encoder, inp = case
    whole = encoder(inp)
    h, ctx = encoder.start(inp)
    for i in range(encoder.depth):
        h = encoder.ffn_part(i, encoder.attn_part(i, h, ctx), ctx)
    folded = encoder.finish(h, ctx)
    assert torch.equal(whole.pooled, folded.pooled)
    assert torch.equal(whole.tokens.x, folded.tokens.x)
    assert whole.pooled.shape == (2, encoder.width)


def test_keeping_all_tokens_equals_keeping_none_back(case):
    encoder, inp = case
    keep = torch.arange(grid_tokens(encoder, inp)).expand(2, -1)
    assert torch.equal(encoder(inp, keep=keep).pooled, encoder(inp).pooled)


def test_tokens_that_are_not_kept_are_never_seen(case):
    encoder, inp = case
    keep = torch.tensor([[2, 0], [1, 2]])
    result = encoder(inp, keep=keep, want=(0,))
    tokens = encoder.embed(inp)
    assert result.layers[0].shape == (2, tokens.prefix + 2, encoder.width)
    assert result.tokens.grid is None
    assert result.pyramid is None
    if encoder.blocks[0].attn.causal:
        return
    h, _ = encoder.start(inp, keep)
    body = tokens.x[:, tokens.prefix :]
    assert torch.equal(h[:, tokens.prefix :], torch.stack([body[v][keep[v]] for v in range(2)]))
    assert torch.equal(h[:, : tokens.prefix], tokens.x[:, : tokens.prefix])
    swapped = encoder(inp, keep=keep.flip(1))  # positions are in the tokens, so their order says nothing
    torch.testing.assert_close(result.pooled, swapped.pooled, rtol=0, atol=1e-5)


def test_keeping_nothing_leaves_the_prefix(case):
    encoder, inp = case
    result = encoder(inp, keep=torch.zeros(2, 0, dtype=torch.int64))
    assert result.tokens.x.shape[1] == encoder.embed(inp).prefix
    assert result.pooled.isfinite().all()


def test_wanted_layers_are_the_states_after_those_blocks(case):
    encoder, inp = case
    result = encoder(inp, want=(0, 2))
    assert sorted(result.layers) == [0, 2]
    h, ctx = encoder.start(inp)
    torch.testing.assert_close(result.layers[0], encoder.step(0, h, ctx), rtol=0, atol=0)
    torch.testing.assert_close(encoder.norm(result.layers[2]), result.tokens.x, rtol=0, atol=0)


def test_hooks_run_at_their_place_in_order(case):
    encoder, inp = case
    seen = []

    def watch(name):
        return lambda h, ctx: (seen.append((name, ctx.layer)), h)[1]

    hooks = [BlockHook(layer, where, watch(where)) for where in ("after_ffn", "after_attn", "pre") for layer in (2, 0)]
    assert torch.equal(encoder(inp, hooks=hooks).pooled, encoder(inp).pooled)
    assert seen == [(where, layer) for layer in (0, 2) for where in ("pre", "after_attn", "after_ffn")]


def test_a_hook_may_add_tokens_and_a_later_one_drop_them(case):
    encoder, inp = case

    def add(h, ctx):
        mask = torch.ones(h.shape[:2], dtype=torch.bool) if ctx.mask is None else ctx.mask
        return torch.cat([h, h[:, :1]], dim=1), torch.cat([mask, torch.zeros(len(h), 1, dtype=torch.bool)], dim=1)

    def drop(h, ctx):
        return h[:, :-1], ctx.mask[:, :-1]

    added = encoder(inp, hooks=[BlockHook(0, "pre", add)])
    assert added.tokens.x.shape[1] == encoder(inp).tokens.x.shape[1] + 1
    assert added.tokens.grid is None
    assert added.pyramid is None
    both = encoder(inp, hooks=[BlockHook(0, "pre", add), BlockHook(2, "after_attn", drop)])
    torch.testing.assert_close(both.pooled, encoder(inp).pooled, rtol=0, atol=1e-5)  # what was added was masked


def test_a_prompt_in_front_that_says_so_keeps_the_grid(case):
    encoder, inp = case

    def prompt(h, ctx):
        ctx.prefix += 2
        mask = None if ctx.mask is None else torch.nn.functional.pad(ctx.mask, (2, 0), value=True)
        return torch.cat([torch.ones(len(h), 2, h.shape[2]), h], dim=1), mask

    result = encoder(inp, hooks=[BlockHook(1, "pre", prompt)])
    assert result.tokens.grid == encoder(inp).tokens.grid
    assert result.tokens.prefix == encoder.embed(inp).prefix + 2


def test_a_hook_that_forgets_the_mask_is_told(case):
    encoder, inp = case
    if encoder.start(inp)[1].mask is None:
        return
    with pytest.raises(ConfigError, match=r"block 1, after_ffn returned tokens .* with a mask"):
        encoder(inp, hooks=[BlockHook(1, "after_ffn", lambda h, ctx: h[:, :-1])])


def test_gradients_reach_every_parameter(case):
    encoder, inp = case
    result = encoder.train()(inp)
    (result.pooled.square().sum() + result.tokens.x.square().sum()).backward()
    silent = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert silent == []


def test_bf16_autocast_stays_close(case):
    encoder, inp = case
    with torch.autocast("cpu", torch.bfloat16):
        low = encoder(inp).pooled
    torch.testing.assert_close(low.float(), encoder(inp).pooled, rtol=0.05, atol=0.05)


def test_no_rows_give_no_rows(case):
    encoder, inp = case
    assert encoder(inp.rows(torch.zeros(0, dtype=torch.int64))).pooled.shape == (0, encoder.width)


def test_a_batch_of_rows_equals_the_rows_one_by_one(case):
    encoder, inp = case
    alone = torch.cat([encoder(inp.rows(torch.tensor([v]))).pooled for v in range(2)])
    torch.testing.assert_close(encoder(inp).pooled, alone, rtol=0, atol=1e-5)


def test_state_dict_round_trip_and_no_surprise_keys(case):
    encoder, _ = case
    assert set(encoder.state_dict()) == {name for name, _ in encoder.named_parameters()}
    roots = {key.split(".")[0] for key in encoder.state_dict()}
    assert roots <= {"blocks", "norm", "stem", "class_token", "token_embedding", "positions"}


def test_layers_out_of_range_and_bad_keep_are_refused(case):
    encoder, inp = case
    with pytest.raises(ConfigError, match="has blocks 0 to 2; block 3 was asked for"):
        encoder(inp, want=(3,))
    with pytest.raises(ConfigError, match=r"keep has shape \(1, 2\)"):
        encoder(inp, keep=torch.zeros(1, 2, dtype=torch.int64))
    with pytest.raises(ConfigError, match="where is 'before'"):
        BlockHook(0, "before", lambda h, ctx: h)


@pytest.mark.parametrize("make", [image, image_conv_stem, text])
def test_dynamo_traces_the_whole_forward(make):
    encoder, inp = make()
    traced = torch.compile(lambda inp: encoder(inp).pooled, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(inp), encoder(inp).pooled, rtol=0, atol=0)
    torch._dynamo.reset()


def test_an_encoder_without_steps_says_so_at_construction():
    conv = ConvNet(options={"channels": [8, 8, 8, 8], "layers": [1, 1, 1, 1]})
    with pytest.raises(ConfigError, match=r"MaskedImages needs an encoder made of steps .* ConvNet has none"):
        require_steps(conv, "MaskedImages")
    with pytest.raises(ConfigError, match="ConvNet has none"):
        conv(ModalityInput(torch.zeros(1, 3, 32, 32)), want=(0,))
    with pytest.raises(ConfigError, match="for images only"):
        SlicePooled(encoder=image()[0])(ModalityInput(torch.zeros(1, 3, 2, 16, 16)), want=(0,))
    assert require_steps(image()[0], "MaskedImages").depth == 3
