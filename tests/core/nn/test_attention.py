"""Legend: B = rows, N, M = tokens, D = width, H = heads."""

import math

import pytest
import torch

from core.errors import ConfigError
from core.nn import CrossAttention, DropPath, SelfAttention, TransformerBlock, attend


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attend_equals_the_softmax_written_out(rng, causal, masked):
    q, k, v = (torch.randn(2, 3, 5, 4, generator=rng, dtype=torch.float64) for _ in range(3))
    mask_BM = torch.tensor([[1, 1, 1, 0, 1], [1, 0, 1, 1, 0]], dtype=torch.bool) if masked else None
    score = q @ k.transpose(-1, -2) / math.sqrt(4)
    if causal:
        score = score.masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(), -torch.inf)
    if mask_BM is not None:
        score = score.masked_fill(~mask_BM[:, None, None], -torch.inf)
    torch.testing.assert_close(attend(q, k, v, mask_BM, causal=causal), score.softmax(-1) @ v)


@pytest.mark.parametrize("causal", [False, True])
def test_a_row_of_padding_gives_zeros_and_finite_gradients(rng, causal):
    q, k, v = (torch.randn(2, 1, 3, 4, generator=rng, requires_grad=True) for _ in range(3))
    mask_BM = torch.tensor([[0, 0, 0], [0, 1, 1]], dtype=torch.bool)
    out = attend(q, k, v, mask_BM, causal=causal)
    assert (out[0] == 0).all()
    assert out.isfinite().all()
    if causal:  # the first query of row 1 sees only a padded key
        assert (out[1, 0, 0] == 0).all()
    out.square().sum().backward()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in (q, k, v))


@pytest.mark.parametrize(("queries", "keys"), [(0, 3), (3, 0), (0, 0)])
def test_empty_sequences_give_empty_or_zero_results(queries, keys):
    cross = CrossAttention(width=8, heads=2)
    out = cross(torch.ones(2, queries, 8), torch.ones(2, keys, 8))
    assert out.shape == (2, queries, 8)
    assert out.isfinite().all()


def test_cross_attention_reads_a_context_of_another_width(rng):
    cross = CrossAttention(width=8, heads=2, context_width=6)
    context_BMD, x_BND = torch.randn(2, 4, 6, generator=rng), torch.randn(2, 3, 8, generator=rng)
    mask_BM = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
    changed = context_BMD.masked_fill(~mask_BM[..., None], 9.0)
    torch.testing.assert_close(cross(x_BND, context_BMD, mask_BM), cross(x_BND, changed, mask_BM), rtol=0, atol=0)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="width 10 cannot be split into 3 heads"):
        SelfAttention(width=10, heads=3)


def test_causal_attention_does_not_see_the_future(rng):
    attn = SelfAttention(width=8, heads=2, causal=True)
    x_BND = torch.randn(1, 5, 8, generator=rng)
    later = x_BND.clone()
    later[:, 3:] += 1.0
    torch.testing.assert_close(attn(x_BND)[:, :3], attn(later)[:, :3], rtol=0, atol=1e-6)


def test_a_block_is_its_two_halves(rng):
    block = TransformerBlock(width=8, heads=2)
    x_BND = torch.randn(2, 3, 8, generator=rng)
    assert torch.equal(block(x_BND), block.ffn_half(block.attn_half(x_BND)))


def test_drop_path_drops_whole_rows_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(20_000, 2, 2)
    out = DropPath(rate=0.25)(x)
    per_row = out.flatten(1)
    assert per_row.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (per_row == per_row[:, :1]).all()
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(DropPath(rate=0.25).eval()(x), x)
    with pytest.raises(ConfigError, match=r"rate is 1\.0"):
        DropPath(rate=1.0)
