"""Legend: B = rows, N = tokens, D = width."""

import pytest
import torch

from core.errors import ConfigError
from core.nn import AttentionPool, ClsPool, LastPool, MaxPool, MeanMaxPool, MeanPool, PartsPool

POOLS = [MeanPool(), MaxPool(), MeanMaxPool(width=4), LastPool(), AttentionPool(width=4, heads=2, hidden=8)]
NAMES = [type(pool).__name__ for pool in POOLS]
MASK_BN = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.bool)


@pytest.fixture
def tokens():
    return torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _some_attention():
    with torch.no_grad():
        POOLS[-1].score.weight.copy_(torch.randn(2, 8, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("pool", POOLS, ids=NAMES)
def test_padding_changes_nothing_and_an_empty_row_is_zero(pool, tokens):
    noisy = tokens.masked_fill(~MASK_BN[..., None], 50.0)
    torch.testing.assert_close(pool(tokens, MASK_BN), pool(noisy, MASK_BN), rtol=0, atol=0)
    torch.testing.assert_close(pool(noisy, MASK_BN)[1:2], pool(tokens[1:2, :2]))
    assert (pool(tokens, MASK_BN)[2] == 0).all()


@pytest.mark.parametrize("pool", POOLS, ids=NAMES)
def test_a_single_token_is_returned_as_it_is(pool, tokens):
    torch.testing.assert_close(pool(tokens[:, :1]), tokens[:, 0])


@pytest.mark.parametrize("pool", POOLS, ids=NAMES)
def test_prefix_tokens_are_left_out(pool, tokens):
    torch.testing.assert_close(pool(tokens, MASK_BN, prefix=1), pool(tokens[:, 1:], MASK_BN[:, 1:]))


@pytest.mark.parametrize("pool", POOLS, ids=NAMES)
def test_no_tokens_give_zeros_and_gradients_stay_finite(pool, tokens):
    assert torch.equal(pool(torch.zeros(2, 0, 4)), torch.zeros(2, 4))
    tokens.requires_grad_()
    pool(tokens, MASK_BN).square().sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.isfinite().all()


def test_closed_forms(tokens):
    torch.testing.assert_close(MeanPool()(tokens, MASK_BN)[1], tokens[1, :2].mean(0))
    torch.testing.assert_close(MaxPool()(tokens, MASK_BN)[1], tokens[1, :2].max(0).values)
    torch.testing.assert_close(MeanMaxPool(width=4)(tokens), (tokens.mean(1) + tokens.amax(1)) / 2)
    torch.testing.assert_close(LastPool()(tokens, MASK_BN)[1], tokens[1, 1])
    assert torch.equal(ClsPool()(tokens, MASK_BN, prefix=1), tokens[:, 0])
    torch.testing.assert_close(AttentionPool(width=4)(tokens), tokens.mean(1))  # zero scores at the start


def test_class_pooling_needs_a_token():
    with pytest.raises(ConfigError, match="no token"):
        ClsPool()(torch.zeros(2, 0, 4))


def test_parts_pool_starts_as_the_mean_and_keeps_parts_apart():
    x = torch.randn(3, 10, 4, generator=torch.Generator().manual_seed(0))
    pool = PartsPool(width=4, parts=5)
    torch.testing.assert_close(pool(x), x.mean(1))
    torch.testing.assert_close(pool(x[:, :1]), x[:, 0])
    with torch.no_grad():
        pool.linear.weight.zero_()
        pool.linear.weight[:, 4:8] = torch.eye(4)
    torch.testing.assert_close(pool(x), x[:, 2:4].mean(1))


def test_parts_pool_splits_a_token_between_the_parts_it_lies_in():
    x = torch.arange(3.0).reshape(1, 3, 1)
    pool = PartsPool(width=1, parts=2)
    with torch.no_grad():
        pool.linear.weight.copy_(torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(pool(x), torch.tensor([[(0 + 0.5 * 1) / 1.5]]))


def test_parts_pool_leaves_padding_out():
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    torch.manual_seed(0)
    pool = PartsPool(width=4, parts=3)
    torch.nn.init.normal_(pool.linear.weight)
    out = pool(x, mask)
    torch.testing.assert_close(out[:1], pool(x[:1]))
    changed = x.clone()
    changed[1, 2:] = 99
    torch.testing.assert_close(pool(changed, mask), out)
    part = x[1, :2].mean(0)  # the first part's own mean, and that of the real tokens for the empty parts
    torch.testing.assert_close(out[1], pool.linear(part.repeat(3)))
    assert torch.equal(pool(x, torch.zeros(2, 6, dtype=torch.bool)), torch.zeros(2, 4))
