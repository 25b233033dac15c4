"""Which tokens are kept, and that a sample's own partner has no say in it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from core.errors import ConfigError
from core.objectives import TokenView, TopTokens
from core.types import ModalityInput


def top(share=0.5, content=None) -> TopTokens:
    return TopTokens(view=TokenView(modality="a"), against=TokenView(modality="b"), share=share, content=content)


def sides(rng, rows=4, of_a=None):
    x, y = torch.randn(rows, 6, 5, generator=rng), torch.randn(rows, 3, 5, generator=rng)
    mask = None if of_a is None else torch.arange(6) < torch.tensor(of_a)[:, None]
    return {"a": ModalityInput(x, mask), "b": ModalityInput(y)}


def chosen(step, row: int, others: list[int], k: int) -> torch.Tensor:
    """The k tokens of a row that match the tokens of `others` best, in order, by definition."""
    x, y = TokenView(modality="a")(step), TokenView(modality="b")(step).x
    own = x.x[row] if x.mask is None else x.x[row][x.mask[row]]
    cosine = torch.einsum("ne,wue->nwu", F.normalize(own, dim=-1), F.normalize(y[others], dim=-1)).amax((1, 2))
    return own[cosine.topk(k).indices.sort().values]


def test_the_tokens_kept_match_the_other_samples_best(make_token_step, rng):
    step = make_token_step(sides(rng))
    viewed = top()(step)
    assert viewed.x.shape == (4, 3, 4)
    assert viewed.mask.all()
    for i in range(4):
        torch.testing.assert_close(viewed.x[i], chosen(step, i, [j for j in range(4) if j != i], 3), rtol=0, atol=0)


def test_a_change_of_the_own_partner_changes_nothing(make_token_step, rng):
    """The partner becomes an exact copy of the tokens that were not kept: a leaking choice would take those."""
    inputs = sides(rng)
    step = make_token_step(inputs)
    with torch.no_grad():
        step.model.projections["b"].load_state_dict(step.model.projections["a"].state_dict())
    kept = top()(step).x[1].clone()
    inputs["b"].x[1] = inputs["a"].x[1, -3:]
    step._memo.clear()
    torch.testing.assert_close(top()(step).x[1], kept, rtol=0, atol=0)


def test_rows_of_equal_content_have_no_say_either(make_token_step, rng):
    step = make_token_step(sides(rng), text=torch.tensor([5, 5, 6, 7]))
    viewed = top(content="text")(step)
    torch.testing.assert_close(viewed.x[0], chosen(step, 0, [2, 3], 3), rtol=0, atol=0)


def test_padding_is_never_kept_and_short_rows_keep_their_share(make_token_step, rng):
    step = make_token_step(sides(rng, of_a=[6, 4, 1, 0]))
    viewed = top()(step)
    assert viewed.mask.sum(1).tolist() == [3, 2, 1, 0]
    torch.testing.assert_close(viewed.x[1, :2], chosen(step, 1, [0, 2, 3], 2), rtol=0, atol=0)
    assert not viewed.x[~viewed.mask].any()


def test_rows_are_matched_by_their_place_in_the_batch(make_token_step, rng):
    inputs = sides(rng)
    inputs["b"] = ModalityInput(inputs["b"].x[:2])
    step = make_token_step(inputs, {"a": torch.tensor([1, 1, 1, 1]).bool(), "b": torch.tensor([0, 0, 1, 1]).bool()})
    viewed = top()(step)
    torch.testing.assert_close(viewed.x[2], chosen(step, 2, [1], 3), rtol=0, atol=0)
    torch.testing.assert_close(viewed.x[0], chosen(step, 0, [0, 1], 3), rtol=0, atol=0)


@pytest.mark.parametrize("has_b", [True, False])
def test_without_another_sample_every_token_stays(make_token_step, rng, has_b):
    inputs = sides(rng, rows=1)
    if not has_b:
        inputs["b"] = ModalityInput(inputs["b"].x[:0])
    step = make_token_step(inputs, {"a": torch.tensor([True]), "b": torch.tensor([has_b])})
    torch.testing.assert_close(top()(step).x, TokenView(modality="a")(step).x, rtol=0, atol=0)


def test_gradients_reach_the_kept_tokens_only(make_token_step, rng):
    inputs = sides(rng)
    inputs["a"].x.requires_grad_()
    step = make_token_step(inputs)
    top()(step).x.sum().backward()
    assert inputs["a"].x.grad.abs().sum(-1).gt(0).sum(1).tolist() == [3] * 4
    assert inputs["b"].x.grad is None


def test_settings_are_checked(make_token_step, rng):
    with pytest.raises(ConfigError, match="share is 0"):
        top(share=0)
    with pytest.raises(ConfigError, match="no key 'txt'"):
        top(content="txt")(make_token_step(sides(rng)))
