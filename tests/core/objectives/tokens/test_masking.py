"""Mask plans: counts, inverses, padding, whole words, 80/10/10."""

from __future__ import annotations

import pytest
import torch

from core.errors import DataError
from core.objectives.tokens.masking import corrupt_tokens, mask_words, random_mask, visible_count
from core.objectives.tokens.patches import normalised, pad_slices, patchify, unpatchify


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_visible_counts_are_exact():
    assert visible_count(324, 0.75) == 81  # 288 px in patches of 16
    assert visible_count(10, 0.9) == 1  # 10 * (1 - 0.9) is 0.9999... in binary
    assert visible_count(3, 0.99) == 1
    assert visible_count(7, 0.0) == 7


def test_every_token_is_either_visible_or_hidden():
    plan = random_mask(5, 36, ratio=0.75, generator=gen())
    assert plan.keep.shape == (5, 9)
    seen = torch.zeros(5, 36, dtype=torch.bool).scatter(1, plan.keep, True)
    assert torch.equal(seen, ~plan.hidden)
    assert not torch.equal(plan.keep[0].sort().values, plan.keep[1].sort().values)


def test_the_plan_is_a_function_of_the_generator():
    one, two, other = (random_mask(3, 20, ratio=0.5, generator=gen(s)) for s in (1, 1, 2))
    assert torch.equal(one.keep, two.keep)
    assert not torch.equal(one.keep, other.keep)


def test_restore_is_the_inverse_of_selecting():
    x, plan = torch.randn(4, 12, 3, generator=gen()), random_mask(4, 12, ratio=0.5, generator=gen())
    visible = x.gather(1, plan.keep[..., None].expand(-1, -1, 3))
    full = plan.restore(visible, torch.tensor([7.0, 8.0, 9.0]))
    assert torch.equal(full[~plan.hidden], x[~plan.hidden])
    assert torch.equal(full[plan.hidden], torch.tensor([7.0, 8.0, 9.0]).expand(int(plan.hidden.sum()), 3))


def test_padding_is_never_predicted_and_each_row_hides_the_same_share_of_its_real_tokens():
    real = torch.arange(40) < torch.tensor([[40], [20], [8], [1]])
    plan = random_mask(4, 40, ratio=0.75, generator=gen(), real_VN=real)
    assert not (plan.hidden & ~real).any()
    assert plan.hidden.sum(1).tolist() == [30, 15, 6, 0]  # one token stays visible in any case


def test_nothing_is_hidden_at_ratio_zero():
    assert not random_mask(2, 9, ratio=0.0, generator=gen()).hidden.any()


def test_words_are_hidden_whole_and_specials_never():
    words = torch.tensor([[-1, 0, 0, 1, 2, 2, 2, 3, 4, 5, -1, -1], [-1, 0, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1]])
    for seed in range(50):
        hidden = mask_words(words, ratio=0.15, generator=gen(seed))
        assert not hidden[words < 0].any()
        for row in range(2):
            chosen = set(words[row][hidden[row]].tolist())
            assert len(chosen) == 1  # round(0.15 * 9) = 1 token, and at least one in the short row
            assert hidden[row].sum() == sum(int(w) in chosen for w in words[row])


def test_single_token_words_give_the_exact_count_and_an_even_spread():
    words = torch.arange(100).expand(400, 100)
    hidden = mask_words(words, ratio=0.15, generator=gen())
    assert (hidden.sum(1) == 15).all()
    share = hidden.float().mean(0)  # 400 draws at 0.15: standard deviation 0.018
    assert (share - 0.15).abs().max() < 0.08


def test_a_text_without_words_hides_nothing():
    assert not mask_words(torch.full((2, 4), -1), ratio=0.5, generator=gen()).any()


def test_corruption_is_80_10_10_and_touches_chosen_tokens_only():
    ids = torch.full((200, 100), 7)
    chosen = torch.rand(200, 100, generator=gen(1)) < 0.5
    out = corrupt_tokens(ids, chosen, mask_id=4, first_ordinary=5, vocab_size=1005, generator=gen(2))
    assert (out[~chosen] == 7).all()
    picked = out[chosen]
    assert ((picked == 4).float().mean() - 0.8).abs() < 0.02
    assert ((picked == 7).float().mean() - 0.1).abs() < 0.02
    drawn = picked[(picked != 4) & (picked != 7)]
    assert drawn.min() >= 5
    assert drawn.max() < 1005
    assert drawn.unique().numel() > 500


@pytest.mark.parametrize(
    ("shape", "patch"), [((2, 3, 8, 12), (4, 3)), ((2, 1, 4, 6, 8), (2, 3, 4)), ((1, 2, 5, 7), (5, 7))]
)
def test_patches_round_trip(shape, patch):
    x = torch.randn(shape, generator=gen())
    grid = [s // p for s, p in zip(shape[2:], patch, strict=True)]
    assert torch.equal(unpatchify(patchify(x, patch), patch, grid), x)


def test_patches_lie_row_major_on_the_grid_with_channels_last():
    x = torch.arange(2 * 4 * 4.0).reshape(1, 2, 4, 4)
    patches = patchify(x, (2, 2))
    assert patches[0, 1].tolist() == [2, 18, 3, 19, 6, 22, 7, 23]  # right upper patch, (row, column, channel)


def test_normalised_patches_have_mean_0_and_unbiased_variance_1():
    x = normalised(torch.randn(2, 5, 48, generator=gen(), dtype=torch.float64) * 40 + 7)
    torch.testing.assert_close(x.mean(-1), torch.zeros(2, 5).double())
    torch.testing.assert_close(x.var(-1), torch.ones(2, 5).double(), rtol=0, atol=1e-8)
    assert not normalised(torch.full((1, 1, 4), 3.0)).any()  # a constant patch is 0, not NaN


def test_slices_are_filled_up_as_the_encoder_does():
    x, mask = pad_slices(torch.ones(1, 1, 5, 2, 2), torch.ones(1, 5, dtype=torch.bool), 4)
    assert x.shape[2] == 8
    assert mask.sum() == 5


def test_a_size_that_the_patch_does_not_divide_is_named():
    with pytest.raises(DataError, match=r"size \(6, 5\) cannot be cut into patches of \(2, 2\)"):
        patchify(torch.zeros(1, 1, 6, 5), (2, 2))
