"""All levels together: blocks, missing pictures, precision."""

from __future__ import annotations

import pytest
import torch
from linking_cards import A, C, D, matcher, seen

from core.errors import ConfigError
from domains.molecules.linking import BidirectionalCross, CrossModal, LevelMatcher
from domains.molecules.linking.matcher import joined, overall


def sides(found: LevelMatcher, m: int = 5, e: int = 4, *, tokens: int = 6):
    """With a token less for entities."""
    widths = {"text_cls": D, "picture_cls": 3} if len(found.names) == 4 else {"text_cls": A, "picture_cls": C}
    mentions = seen(m, pictured=[0, 2, 3], tokens=tokens, seed=1, **widths)
    entities = seen(e, pictured=[1, 2], tokens=tokens - 1, seed=2, **widths)
    return found.mentions(found.card(mentions)), found.entities(found.card(entities))


@pytest.mark.parametrize("cross", [CrossModal, BidirectionalCross])
@pytest.mark.parametrize("floats", [1, 200, 900])
def test_blocks_along_both_sides_change_neither_scores_nor_gradients(cross, floats):
    whole, cut = matcher(cross=cross), matcher(cross=cross, block_floats=floats)
    cut.load_state_dict(whole.state_dict())
    ours, expected = (x(*sides(x)) for x in (cut, whole))
    torch.testing.assert_close(ours, expected)
    for scores in (ours, expected):
        (scores * torch.arange(scores.numel()).view_as(scores)).sum().backward()
    for (name, p), q in zip(cut.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)


def test_blocks_keep_nothing_as_large_as_all_pairs_of_tokens_for_the_way_back():
    def largest(floats: int) -> int:
        found = matcher(block_floats=floats)
        kept = [0]
        mentions, entities = sides(found, 20, 20)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x.numel()), x)[1], lambda x: x):
            found(mentions, entities)
        return max(kept)

    pairs_of_tokens = 20 * 20 * 6 * 5
    assert largest(10**9) == pairs_of_tokens
    assert largest(300) < pairs_of_tokens / 20


def test_names_and_number_of_scores():
    one, two = matcher(), matcher(cross=BidirectionalCross)
    assert one.names == ["text", "picture", "cross"]
    assert two.names == ["text", "picture", "cross_text_to_picture", "cross_picture_to_text"]
    assert two.needs_pictures() == [False, True, False, False]
    scores = two(*sides(two))
    assert scores.shape == (4, 5, 4)
    torch.testing.assert_close(overall(scores), scores.sum(0) / 4)


@pytest.mark.parametrize("cross", [CrossModal, BidirectionalCross])
def test_one_mention_and_one_entity(cross):
    """Erratum: the release squeezes the axis away."""
    found = matcher(cross=cross)
    many, (mentions, entities) = found(*sides(found)), sides(found)
    first = (
        {k: tuple(x[:1] for x in v) for k, v in mentions.items()},
        {k: tuple(x[:1] for x in v) for k, v in entities.items()},
    )
    torch.testing.assert_close(found(*first), many[:, :1, :1])


def test_rows_without_a_picture_share_a_learned_one_and_the_others_do_not_notice():
    found = matcher()
    some = found.card(seen(4, pictured=[1, 3]))
    every = found.card(seen(4, pictured=[0, 1, 2, 3]))
    torch.testing.assert_close(some.picture_cls[0], found.norms["picture_cls"](found.absent_cls))
    torch.testing.assert_close(some.picture[0, 0], found.norms["picture"](found.absent_token))
    assert some.picture_mask.tolist() == [[True, False, False], [True] * 3, [True, False, False], [True] * 3]
    assert every.picture_mask.all()
    assert some.pictured.tolist() == [False, True, False, True]


def test_a_batch_in_which_nobody_has_a_picture():
    found = matcher()
    card = found.card(seen(3, pictured=[]))
    assert card.picture.shape[:2] == (3, 1)
    scores = found(found.mentions(card), found.entities(card))
    assert torch.isfinite(scores).all()
    assert scores[1].std() < 1e-12  # nothing to tell pictures apart by


def test_sides_of_several_batches_are_one():
    found = matcher()
    a, b = (found.mentions(found.card(seen(3, pictured=p, tokens=t, seed=9))) for p, t in (([0], 3), ([], 6)))
    _, entities = sides(found)
    torch.testing.assert_close(
        found(joined([a, b]), entities), torch.cat([found(a, entities), found(b, entities)], dim=1)
    )


def test_scores_are_float32_under_bf16_autocast():
    found = matcher().float()
    given = seen(3, pictured=[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = type(given)(*(x.bfloat16() if x is not None and x.is_floating_point() else x for x in (
            given.text_cls, given.text, given.text_mask, given.picture_cls, given.picture, given.pictured
        )))  # fmt: skip
        card = found.card(low)
        scores = found(found.mentions(card), found.entities(card))
    assert scores.dtype == torch.float32
    with torch.autocast("cpu", enabled=False):
        again = found.card(low)
        torch.testing.assert_close(found(found.mentions(again), found.entities(again)), scores, rtol=0, atol=0)


def test_a_matcher_without_levels_is_refused():
    with pytest.raises(ConfigError, match="0 levels"):
        LevelMatcher(levels={}, text_cls=1, text=1, picture_cls=1, picture=1)
