"""Blocks that read a context: masks per query, causality, and rows without anything to read."""

from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError
from core.nn import CrossBlock, DecoderBlock, QueryPool, SelfAttention, attend


@pytest.fixture
def sequence():
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_mask_per_query_is_a_mask_per_key_where_all_queries_agree(sequence):
    q = sequence.unflatten(-1, (2, 4)).transpose(1, 2)
    keys = torch.tensor([[True] * 5, [True, True, False, False, True]])
    torch.testing.assert_close(attend(q, q, q, keys[:, None].expand(-1, 5, -1)), attend(q, q, q, keys))
    past = torch.ones(5, 5, dtype=torch.bool).tril().expand(2, -1, -1)
    torch.testing.assert_close(attend(q, q, q, past), attend(q, q, q, causal=True))
    nothing = past.clone()
    nothing[0, 3] = False
    out = attend(q, q, q, nothing)
    assert not out[0, :, 3].any()
    assert out.isfinite().all()


def test_a_causal_decoder_sees_the_past_and_the_whole_context(sequence):
    block = DecoderBlock(width=8, heads=2, context_width=6, causal=True).double()
    context = torch.randn(2, 3, 6, dtype=torch.float64).requires_grad_()
    x = sequence.clone().requires_grad_()
    block(x, context)[0, 2].sum().backward()
    assert (x.grad[0].abs().sum(-1) > 0).tolist() == [True, True, True, False, False]
    assert (context.grad[0].abs().sum(-1) > 0).all()
    assert not x.grad[1].any()


def test_padding_of_the_context_is_not_read(sequence):
    block = CrossBlock(width=8, heads=2, context_width=6).double()
    context = torch.randn(2, 3, 6, dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    before = block(sequence, context, mask)
    context[0, 2], context[1] = 9.0, 9.0
    torch.testing.assert_close(block(sequence, context, mask), before)
    assert before.isfinite().all()


def test_queries_do_not_depend_on_the_order_of_tokens(sequence):
    pool = QueryPool(width=4, heads=2, queries=3, context_width=8).double()
    torch.testing.assert_close(pool(sequence), pool(sequence.flip(1)))
    assert pool(sequence).shape == (2, 3, 4)
    with pytest.raises(ConfigError, match="queries is 0"):
        QueryPool(width=4, heads=2, queries=0)


def test_self_attention_takes_both_kinds_of_mask(sequence):
    layer = SelfAttention(width=8, heads=2).double()
    keys = torch.tensor([[True] * 5, [True, False, True, True, False]])
    torch.testing.assert_close(layer(sequence, keys), layer(sequence, keys[:, None].expand(-1, 5, -1)))
