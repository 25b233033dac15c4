"""Learned queries that read through several blocks."""

import pytest
import torch

from core.errors import ConfigError
from core.nn import DecoderBlock, QueryFormer


def test_queries_ignore_padding_and_the_order_of_what_they_read():
    torch.manual_seed(0)
    former = QueryFormer(width=8, depth=3, heads=2, queries=4, context_width=6)
    assert [isinstance(block, DecoderBlock) for block in former.blocks] == [True, False, True]
    context, mask = torch.randn(2, 5, 6), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    out = former(context, mask)
    assert out.shape == (2, 4, 8)
    torch.testing.assert_close(out[0], former(context[:1, :3])[0])
    torch.testing.assert_close(out[1], former(context[1:, [4, 2, 0, 1, 3]])[0])
    changed = context.clone()
    changed[0, 3:] = 7.0
    torch.testing.assert_close(former(changed, mask), out)


def test_a_row_without_tokens_gives_finite_queries_that_depend_on_nothing():
    torch.manual_seed(0)
    former = QueryFormer(width=8, depth=2, heads=2, queries=3)
    none = torch.zeros(1, 4, dtype=torch.bool)
    torch.testing.assert_close(former(torch.randn(1, 4, 8), none), former(torch.randn(1, 4, 8), none))
    with pytest.raises(ConfigError, match="queries 0"):
        QueryFormer(width=8, depth=2, heads=2, queries=0)
