"""The matching losses against dense float64 references, closed forms and finite differences."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax

from domains.remote_sensing.registration.losses import dual_log_softmax, expected_offset, positive_focal, subpixel

RNG = torch.Generator().manual_seed(0)
SIM = torch.randn(2, 5, 6, generator=RNG, dtype=torch.float64)
PARTNER = torch.tensor([[0, -1, 3, 5, 2], [-1, 1, -1, 4, 0]])


def dense(sim, partner, weight=None, alpha=0.25, gamma=2.0):
    """The published form: probabilities clamped at 1e-6, a mask of positives, numpy."""
    p = softmax(sim, 1) * softmax(sim, 2)
    p = np.clip(p, 1e-6, 1 - 1e-6)
    losses = []
    for b, row in zip(*np.nonzero(partner >= 0)):
        value = p[b, row, partner[b, row]]
        losses.append(-alpha * (1 - value) ** gamma * math.log(value) * (1 if weight is None else weight[b, row]))
    return float(np.mean(losses))


def test_probabilities_are_the_product_of_both_softmaxes_and_sum_to_at_most_one():
    p = dual_log_softmax(SIM).exp().numpy()
    np.testing.assert_allclose(p, softmax(SIM.numpy(), 1) * softmax(SIM.numpy(), 2), rtol=1e-12)
    assert p.sum(1).max() <= 1
    assert p.sum(2).max() <= 1


@pytest.mark.parametrize("weighted", [False, True])
def test_focal_equals_the_dense_form(weighted):
    weight = torch.rand(2, 5, generator=RNG, dtype=torch.float64) if weighted else None
    ours = positive_focal(dual_log_softmax(SIM), PARTNER, weight)
    assert ours.item() == pytest.approx(
        dense(SIM.numpy(), PARTNER.numpy(), None if weight is None else weight.numpy()), rel=1e-12
    )


def test_equal_similarities_cost_the_log_of_the_number_of_pairs():
    n = 12
    p = 1 / n**2
    ours = positive_focal(dual_log_softmax(torch.zeros(1, n, n)), torch.arange(n)[None])
    assert ours.item() == pytest.approx(0.25 * (1 - p) ** 2 * math.log(n**2), rel=1e-5)


def test_gradients_by_finite_differences():
    sim = SIM.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: positive_focal(dual_log_softmax(s), PARTNER), (sim,))
    score = torch.randn(4, 9, dtype=torch.float64, generator=RNG, requires_grad=True)
    offset = torch.tensor([[0.2, -0.4], [0.5, 0.1], [1.5, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: subpixel(s, offset), (score,))


def test_a_positive_far_below_the_published_clamp_still_pulls():
    sim = torch.zeros(1, 3, 3)
    sim[0, 0, 0] = -40
    sim.requires_grad_()
    positive_focal(dual_log_softmax(sim), torch.tensor([[0, -1, -1]])).backward()
    assert sim.grad[0, 0, 0] < -0.1


def test_masked_rows_and_columns_take_no_share():
    rows = torch.tensor([[True, True, False, True, True], [True] * 5])
    columns = torch.tensor([[True] * 6, [True, False, True, True, True, True]])
    p = dual_log_softmax(SIM, rows, columns).exp()
    left = SIM[0][rows[0]][None]
    torch.testing.assert_close(p[0][rows[0]], dual_log_softmax(left).exp()[0])
    kept = SIM[1][:, columns[1]][None]
    torch.testing.assert_close(p[1][:, columns[1]], dual_log_softmax(kept).exp()[0])


def test_nothing_to_learn_is_an_exact_zero_with_a_graph():
    sim = SIM.clone().requires_grad_()
    none = torch.zeros(2, 5, dtype=torch.bool)
    loss = positive_focal(dual_log_softmax(sim, none), torch.full((2, 5), -1))
    loss = loss + subpixel(sim.flatten()[:9][None], torch.tensor([[5.0, 5.0]]))
    assert loss.item() == 0
    loss.backward()
    assert (sim.grad == 0).all()


def test_the_expected_offset_of_known_scores():
    assert expected_offset(torch.zeros(1, 9)).tolist() == [[0, 0]]
    right = torch.full((1, 9), -1e4)
    right[0, 5] = 0  # row 1, column 2 of 3
    torch.testing.assert_close(expected_offset(right), torch.tensor([[1.0, 0.0]]))
    # columns of weights 1 : 1 : 2 in every row, at temperature 10
    score = 10 * torch.log(torch.tensor([1.0, 1, 2]).repeat(3))[None]
    torch.testing.assert_close(expected_offset(score), torch.tensor([[0.25, 0.0]]))


def test_subpixel_is_the_squared_distance_of_those_within_reach():
    score = torch.zeros(3, 9)
    offset = torch.tensor([[0.3, 0.4], [0.0, 2.0], [0.5, 0.0]])
    assert subpixel(score, offset).item() == pytest.approx((0.25 + 0.25) / 2)


def test_low_precision_similarities_are_computed_in_float32():
    assert dual_log_softmax(SIM.bfloat16()).dtype == torch.float32
