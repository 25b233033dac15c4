"""Sparsemax against a reference projection, its Jacobian, and the cases that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch

from core.nn import sparsemax
from core.nn.simplex import FIRST_LOOK, threshold


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def projection(z: torch.Tensor) -> torch.Tensor:
    """The point of the simplex nearest to z: tau found by bisection on sum(max(z - tau, 0)) = 1."""
    low, high = z.min() - 1, z.max()
    for _ in range(200):
        tau = (low + high) / 2
        low, high = (tau, high) if (z - tau).clamp_min(0).sum() > 1 else (low, tau)
    return (z - tau).clamp_min(0)


@pytest.mark.parametrize("entries", [1, 2, 10, FIRST_LOOK, FIRST_LOOK + 1, 1000])
@pytest.mark.parametrize("spread", [1e-4, 0.1, 1.0, 30.0])
def test_is_the_projection_on_the_simplex(rng, entries, spread):
    z = spread * torch.randn(5, entries, generator=rng, dtype=torch.float64)
    p = sparsemax(z)
    torch.testing.assert_close(p, torch.stack([projection(row) for row in z]), rtol=0, atol=1e-12)
    torch.testing.assert_close(p.sum(-1), torch.ones(5).double(), rtol=0, atol=1e-12)


def test_the_support_is_found_however_large_it_is():
    """Equal entries: all of them are in the support, far more than are looked at first."""
    p = sparsemax(torch.full((2, 5000), 3.0))
    torch.testing.assert_close(p, torch.full((2, 5000), 1 / 5000), rtol=0, atol=1e-8)
    z = torch.zeros(3000, dtype=torch.float64)
    z[:700] = 1e-3
    torch.testing.assert_close(sparsemax(z), projection(z), rtol=0, atol=1e-12)


def test_a_gap_of_one_gives_a_single_entry():
    assert torch.equal(sparsemax(torch.tensor([2.0, 1.0, -5.0])), torch.tensor([1.0, 0.0, 0.0]))
    assert sparsemax(torch.tensor([2.0, 1.01, -5.0]))[1] > 0


def test_is_blind_to_a_common_offset_even_a_large_one(rng):
    z = torch.randn(4, 9, generator=rng)
    torch.testing.assert_close(sparsemax(z + 4096), sparsemax((z + 4096) - 4096), rtol=0, atol=1e-6)


def test_gradients_agree_with_finite_differences_and_the_jacobian_has_zero_row_sums(rng):
    z = torch.randn(3, 6, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sparsemax, (z,))
    jacobian = torch.autograd.functional.jacobian(sparsemax, z[0].detach())
    torch.testing.assert_close(jacobian.sum(1), torch.zeros(6).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(jacobian, jacobian.T, rtol=0, atol=1e-12)


def test_half_precision_is_computed_in_float32(rng):
    z = torch.randn(4, 9, generator=rng).bfloat16()
    assert sparsemax(z).dtype == torch.float32
    torch.testing.assert_close(sparsemax(z), sparsemax(z.float()), rtol=0, atol=0)


def test_a_nan_is_not_hidden_and_an_empty_axis_is_refused():
    assert sparsemax(torch.tensor([[0.0, torch.nan, 1.0]])).isnan().all()
    assert sparsemax(torch.zeros(0, 3)).shape == (0, 3)
    with pytest.raises(ValueError, match="the last axis is empty"):
        sparsemax(torch.zeros(3, 0))


def test_the_threshold_leaves_a_sum_of_one(rng):
    z = torch.randn(7, 300, generator=rng, dtype=torch.float64)
    torch.testing.assert_close((z - threshold(z)).clamp_min(0).sum(-1), torch.ones(7).double(), rtol=0, atol=1e-12)
