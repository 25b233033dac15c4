"""Levels against references that go pair by pair, and what must not matter to them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from linking_cards import DIM, C, D, H, card, levels

from core.errors import ConfigError
from domains.molecules.linking import BidirectionalCross, CrossModal, IntraModal
from domains.molecules.linking.levels import CrossAttention, TemperaturePool


def intra_of_one_pair(level: IntraModal, m_cls, m_tokens, e_cls, e_tokens):
    """The formulas, for real tokens only."""
    q, k, v = level.query(e_tokens), level.key(m_tokens), level.value(m_tokens)
    seen = torch.stack([(k @ q_u / math.sqrt(DIM)).softmax(0) @ v for q_u in q]).mean(0)
    g2l = F.layer_norm(seen, (DIM,), level.norm.weight, level.norm.bias) @ level.cls(e_cls)
    return (m_cls @ e_cls + g2l) / 2


def test_intra_modal_scores_are_those_of_each_pair_alone():
    level = levels()["text"]
    m, e = card(4, padded=2, seed=1), card(3, tokens=5, padded=1, seed=2)
    (found,) = level.scores(level.mention(m), level.entity(e))
    for i in range(4):
        for j in range(3):
            expected = intra_of_one_pair(
                level, m.text_cls[i], m.text[i][m.text_mask[i]], e.text_cls[j], e.text[j][e.text_mask[j]]
            )
            torch.testing.assert_close(found[i, j], expected)


def test_with_one_token_attention_is_the_identity():
    level = levels()["picture"]
    m, e = card(3, patches=1, seed=1), card(2, patches=1, seed=2)
    (found,) = level.scores(level.mention(m), level.entity(e))
    g2l = level.norm(level.value(m.picture[:, 0])) @ level.cls(e.picture_cls).T
    torch.testing.assert_close(found, (m.picture_cls @ e.picture_cls.T + g2l) / 2)


def attended(level, p, q):
    """Match(p, q) for one row."""
    w = level.attend.linear
    return torch.stack([(w(q) @ p_i).softmax(0) @ q for p_i in p]).matmul(w.weight.T).add(w.bias).relu()


def pooled(x):
    """Mean plus the mean over temperatures of softmax-weighted sums, channel by channel."""
    heads = [x.max(0).values if t == 99 else (x * (t * x).softmax(0)).sum(0) for t in (2, 2.5, 3.5, 4.5, 99)]
    return x.mean(0) + sum(heads) / 5


def gated(level, x, context):
    gate = torch.tanh(level.gated.gate(x))
    return F.layer_norm(gate * x + context, (DIM,), level.gated.norm.weight, level.gated.norm.bias)


def test_cross_modal_vectors_are_those_of_each_row_alone():
    level = levels()["cross"]
    c = card(4, seed=3)
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[1, 2] = False
    (found,) = level.mention(replace(c, picture_mask=mask))
    for i in range(4):
        x, patches = level.text(c.text_cls[i]), level.picture(c.picture[i][mask[i]])
        t, v = attended(level, x[None], patches)[0], pooled(attended(level, patches, x[None]))
        f = torch.sigmoid(level.mix(t) + level.mix(v))
        torch.testing.assert_close(found[i], gated(level, x, f * t + (1 - f) * v))


def test_bidirectional_vectors_are_those_of_each_row_alone():
    level = levels(cross=BidirectionalCross)["cross"]
    c = card(3, padded=2, seed=4)
    c = replace(c, text_cls=torch.randn(3, D).double(), picture_cls=torch.randn(3, H).double())
    found = level.mention(c)
    for i in range(3):
        text, patches = level.text(c.text[i][c.text_mask[i]]), level.picture(c.picture[i])
        for which, x, tokens in ((0, level.text(c.text_cls[i]), patches), (1, level.picture(c.picture_cls[i]), text)):
            both = torch.cat([attended(level, x[None], tokens), attended(level, tokens, x[None])])
            torch.testing.assert_close(found[which][i], gated(level, x, pooled(both)))


@pytest.mark.parametrize("cross", [CrossModal, BidirectionalCross])
def test_the_order_of_patches_changes_nothing(cross):
    for name, level in levels(cross=cross).items():
        m, e = card(3, seed=1), card(2, seed=2)
        if cross is BidirectionalCross:
            m, e = (replace(c, text_cls=c.text[:, 0], picture_cls=c.picture[:, 0]) for c in (m, e))
        turned = replace(m, picture=m.picture[:, [2, 0, 1]])
        torch.testing.assert_close(
            level.scores(level.mention(turned), level.entity(e)),
            level.scores(level.mention(m), level.entity(e)),
            msg=name,
        )


@pytest.mark.parametrize("name", ["text", "cross"])
def test_padding_changes_nothing(name):
    """Erratum: the release attends to padding."""
    level = levels(cross=CrossModal)[name]
    m, e = card(4, padded=2, seed=1), card(3, padded=1, seed=2)
    longer = replace(
        m, text=torch.cat([m.text, torch.full((4, 3, D), 7.0).double()], 1),
        text_mask=F.pad(m.text_mask, (0, 3)),
        picture=torch.cat([m.picture, torch.full((4, 2, H), 9.0).double()], 1),
        picture_mask=F.pad(m.picture_mask, (0, 2)),
    )  # fmt: skip
    torch.testing.assert_close(
        level.scores(level.mention(longer), level.entity(e)), level.scores(level.mention(m), level.entity(e))
    )


def test_a_row_of_padding_only_is_finite_and_so_are_its_gradients():
    for name, level in levels().items():
        empty = card(2, padded=4, seed=1)
        empty = replace(empty, picture_mask=torch.zeros_like(empty.picture_mask))
        total = level.scores(level.mention(empty), level.entity(empty)).sum()
        total.backward()
        assert torch.isfinite(total), name
        assert all(torch.isfinite(p.grad).all() for p in level.parameters() if p.grad is not None), name


class TestTemperaturePool:
    def test_an_infinite_temperature_is_the_maximum(self):
        x, mask = torch.randn(3, 5, 4).double(), torch.ones(3, 5, dtype=torch.bool)
        found = TemperaturePool(temperatures=[math.inf], share=2.0)(x, mask)
        torch.testing.assert_close(found, x.mean(1) + 2 * x.amax(1))

    def test_a_very_high_temperature_comes_near_it(self):
        x, mask = torch.randn(3, 5, 4).double(), torch.ones(3, 5, dtype=torch.bool)
        near, top = (TemperaturePool(temperatures=[t])(x, mask) for t in (1e6, math.inf))
        torch.testing.assert_close(near, top, atol=1e-4, rtol=0)

    def test_temperature_zero_is_twice_the_mean(self):
        x, mask = torch.randn(3, 5, 4).double(), torch.ones(3, 5, dtype=torch.bool)
        torch.testing.assert_close(TemperaturePool(temperatures=[0.0])(x, mask), 2 * x.mean(1))

    def test_one_token_is_itself_and_its_share(self):
        x, mask = torch.randn(3, 1, 4).double(), torch.ones(3, 1, dtype=torch.bool)
        torch.testing.assert_close(TemperaturePool(share=0.5)(x, mask), 1.5 * x[:, 0])

    def test_no_real_token_gives_zeros(self):
        x, mask = torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool)
        assert TemperaturePool()(x, mask).abs().max() == 0


def test_gradients_agree_with_finite_differences():
    level = levels()["text"]
    m, e = card(2, tokens=3, padded=1, seed=1), card(2, tokens=2, seed=2)

    def scores(m_cls, m_tokens, e_cls, e_tokens):
        one, two = replace(m, text_cls=m_cls, text=m_tokens), replace(e, text_cls=e_cls, text=e_tokens)
        return level.scores(level.mention(one), level.entity(two))

    inputs = [x.requires_grad_() for x in (m.text_cls, m.text, e.text_cls, e.text)]
    assert torch.autograd.gradcheck(scores, inputs)
    attend = CrossAttention(dim=3).double()
    p, q = (torch.randn(2, n, 3, dtype=torch.float64, requires_grad=True) for n in (1, 4))
    assert torch.autograd.gradcheck(lambda p, q: TemperaturePool()(attend(q, p), torch.ones(2, 4).bool()), (p, q))


def test_errors_say_what_is_valid():
    with pytest.raises(ConfigError, match="reads is 'sound'; valid: text, picture"):
        IntraModal(reads="sound", cls_width=C, token_width=H)
    with pytest.raises(ConfigError, match=r"temperatures are \[\]; give some"):
        TemperaturePool(temperatures=[])
