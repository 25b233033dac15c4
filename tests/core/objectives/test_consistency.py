"""Both consistency terms against whole matrices of cosines, and their invariances."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from core.objectives import CrossConsistency, InModalConsistency, Step

TERMS = [CrossConsistency(rows="a", keys="b"), InModalConsistency(rows="a", keys="b")]


def dense(term, a, b):
    u, v = F.normalize(a, dim=1), F.normalize(b, dim=1)
    s = u @ v.T
    gap = s - s.T if isinstance(term, CrossConsistency) else u @ u.T - v @ v.T
    return gap.square().sum() / len(a)


@pytest.mark.parametrize("shape", [(2, 3), (7, 3), (5, 12)])
@pytest.mark.parametrize("term", TERMS, ids=lambda t: type(t).__name__)
def test_value_and_gradient_equal_the_whole_matrices(make_step, rng, term, shape):
    a, b = (torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True) for _ in range(2))
    step = make_step(a.detach(), b.detach())
    got, want = term(step)["loss"], dense(term, a, b)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=0)
    got.backward()
    for m, g in zip("ab", torch.autograd.grad(want, (a, b)), strict=True):
        torch.testing.assert_close(step.model.vectors[m].grad, g, rtol=0, atol=1e-11)


@pytest.mark.parametrize("term", TERMS, ids=lambda t: type(t).__name__)
def test_gradients_agree_with_finite_differences(make_step, rng, term):
    step = make_step(*(torch.randn(4, 3, generator=rng, dtype=torch.float64) for _ in range(2)))

    def loss(*_):
        step._memo.clear()
        return term(step)["loss"]

    assert torch.autograd.gradcheck(loss, tuple(step.model.vectors.values()))


def test_equal_towers_are_consistent(make_step, rng):
    a = torch.randn(64, 5, generator=rng)
    for term in TERMS:
        assert term(make_step(a, 3 * a))["loss"].item() == pytest.approx(0, abs=1e-12)


def test_values_close_to_zero_are_not_lost_in_large_moments(make_step, rng):
    """Moments of a thousand rows are near 1e5 and cancel to 1e-6; in float32 nothing of that would be left."""
    a = torch.randn(1000, 8, generator=rng)
    b = a + 1e-5 * torch.randn(1000, 8, generator=rng)
    for term in TERMS:
        want = dense(term, a.double(), b.double()).item()
        assert want < 1e-5
        assert term(make_step(a, b))["loss"].item() == pytest.approx(want, rel=0.02)


def test_a_joint_rotation_and_a_joint_permutation_change_nothing(make_step, rng):
    a, b = torch.randn(6, 4, generator=rng), torch.randn(6, 4, generator=rng)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=rng))[0]
    order = torch.randperm(6, generator=rng)
    for term in TERMS:
        start = term(make_step(a, b))["loss"].item()
        assert start > 0.1
        assert term(make_step(a @ turn, b @ turn))["loss"].item() == pytest.approx(start, rel=1e-5)
        assert term(make_step(a[order], b[order]))["loss"].item() == pytest.approx(start, rel=1e-5)
        assert term(make_step(b, a))["loss"].item() == pytest.approx(start, rel=1e-5)


@pytest.mark.parametrize("term", TERMS, ids=lambda t: type(t).__name__)
def test_without_pairs_an_exact_zero_with_a_graph(make_batch, two_towers, rng, term):
    batch = make_batch(torch.randn(3, 6, generator=rng), torch.zeros(0, 6), None, torch.zeros(3).bool())
    loss = term(Step(model=two_towers, batch=batch, index=0, generator=rng))["loss"]
    assert loss == 0
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in two_towers.parameters())


def test_only_rows_with_both_count(make_batch, two_towers, rng):
    a, b, has = torch.randn(5, 6, generator=rng), torch.randn(3, 6, generator=rng), torch.tensor([1, 0, 1, 1, 0]).bool()
    for term in TERMS:
        some = term(Step(model=two_towers, batch=make_batch(a, b, None, has), index=0, generator=rng))["loss"]
        whole = term(Step(model=two_towers, batch=make_batch(a[has], b), index=0, generator=rng))["loss"]
        torch.testing.assert_close(some, whole)


def test_names_say_what_is_compared():
    assert [t.name for t in TERMS] == ["cross-consistency-a-b", "in-modal-consistency-a-b"]
