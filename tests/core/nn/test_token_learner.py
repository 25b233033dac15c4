"""Learned tokens: shapes, padding, and the setting in which they are the tokens themselves."""

from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError
from core.nn import TokenLearner


@pytest.fixture
def learner() -> TokenLearner:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TokenLearner(width=8, tokens=3, groups=4)


@pytest.fixture(name="x_VND")
def tokens() -> torch.Tensor:
    return torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(7))


def test_each_learned_token_is_a_weighted_mean_of_mapped_tokens(learner, x_VND):
    """By the definition, with the maps written as matrices."""
    normal = learner.norm(x_VND)
    first = torch.block_diag(*learner.score[0].weight[:, :, 0].split(2))
    weight = (normal @ first.T @ learner.score[1].weight[:, :, 0].T).softmax(1)
    feature = normal @ torch.block_diag(*learner.feature.weight[:, :, 0].split(2)).T
    torch.testing.assert_close(learner(x_VND), torch.einsum("vnk,vnd->vkd", weight, feature), rtol=0, atol=1e-5)


def test_padding_changes_nothing_whatever_it_holds(learner, x_VND):
    junk = torch.full((4, 2, 8), torch.nan)
    mask = torch.arange(8).expand(4, -1) < 6
    x_VND.requires_grad_()
    padded = learner(torch.cat([x_VND, junk], 1), mask)
    torch.testing.assert_close(padded, learner(x_VND), rtol=0, atol=1e-6)
    assert torch.autograd.grad(padded.sum(), x_VND)[0].isfinite().all()


def test_a_row_of_padding_gives_zeros(learner, x_VND):
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[2] = False
    out = learner(x_VND.requires_grad_(), mask)
    assert not out[2].any()
    assert torch.autograd.grad(out.sum(), x_VND)[0].isfinite().all()


def test_as_many_tokens_as_positions_with_sharp_maps_are_the_tokens_in_some_order(x_VND):
    """Tokens that are one-hot after the norm choose themselves: FILIP on learned tokens is then FILIP."""
    learner = TokenLearner(width=8, tokens=6, groups=1).double()
    with torch.no_grad():
        learner.score[0].weight.copy_(200 * torch.eye(8)[:, :, None])
        learner.score[1].weight.copy_(torch.eye(6, 8)[:, :, None])
        learner.feature.weight.copy_(torch.eye(8)[:, :, None])
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    x = torch.eye(6, 8, dtype=torch.float64)[order][None]
    torch.testing.assert_close(learner(x)[0], learner.norm(torch.eye(6, 8).double()), rtol=0, atol=1e-9)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="groups a divisor of width"):
        TokenLearner(width=10, groups=4)
    with pytest.raises(ConfigError, match="tokens 0"):
        TokenLearner(width=8, tokens=0)
