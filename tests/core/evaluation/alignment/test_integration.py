"""MIR: closed forms, scipy's matrix square root, and the fault of the released fast mode. Legend: N, T = tokens."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from core.errors import DataError
from core.evaluation.alignment import (
    frechet_distance,
    frechet_distance_released_fast,
    integration_rate,
    integration_rate_released_fast,
)
from core.evaluation.alignment.integration import replace_outliers


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def released_iteration(a):
    """The iteration of the released fast mode, five steps."""
    y, z = a, torch.eye(len(a), dtype=a.dtype)
    for _ in range(5):
        y = 0.5 * (y + torch.inverse(z) @ a)
        z = 0.5 * (z + torch.inverse(y) @ a)
    return y


@pytest.mark.parametrize(("n", "t", "d"), [(50, 30, 6), (40, 5, 6), (6, 7, 16)])  # the last two: singular covariances
def test_the_distance_equals_scipys_matrix_square_root(n, t, d):
    x, y = normal(n, d) * 2 + 1, normal(t, d, seed=1)
    cx, cy = np.cov(x.numpy().T), np.cov(y.numpy().T)
    root = np.real(np.trace(sqrtm(cx @ cy + 0j)))
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace(cx) + np.trace(cy) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)
    values = np.linalg.eigvals(cx @ cy)  # a second route: tr of the root is the sum of the roots of the eigenvalues
    again = expected + 2 * root - 2 * np.sqrt(np.clip(values.real, 0, None)).sum()
    assert frechet_distance(x, y) == pytest.approx(again, rel=1e-7)


def test_equal_tokens_are_at_zero_and_a_shift_costs_its_square():
    x, shift = normal(20, 5), torch.arange(5.0, dtype=torch.float64)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + shift) == pytest.approx(float(shift.square().sum()))
    assert frechet_distance(x, normal(9, 5, seed=1)) == pytest.approx(frechet_distance(normal(9, 5, seed=1), x))


def test_the_released_fast_mode_returns_the_product_and_not_its_root():
    """Its iteration starts at a fixed point; the exact distance does not have the fault."""
    x, y = normal(40, 5) * 0.5, normal(60, 5, seed=1) * 0.5 + 0.2
    product = torch.cov(x.T) @ torch.cov(y.T)
    assert float(released_iteration(product).trace()) == pytest.approx(float(product.trace()), rel=1e-6)
    root = float(np.real(np.trace(sqrtm(product.numpy()))))
    assert root > 2 * float(product.trace())
    fast, exact = frechet_distance_released_fast(x, y), frechet_distance(x, y)
    assert fast - exact == pytest.approx(2 * (root - float(product.trace())), rel=1e-6)
    assert frechet_distance_released_fast(x, x) > 0.1  # even for the same tokens


def test_the_two_modes_say_which_they_are():
    image, text = [normal(30, 4), normal(30, 4, seed=2)], [normal(20, 4, seed=1) + 1, normal(20, 4, seed=3)]
    exact, fast = integration_rate(image, text), integration_rate_released_fast(image, text)
    assert (exact.mode, fast.mode) == ("exact", "released_fast")
    assert exact.rate == pytest.approx(math.log10(sum(exact.layers)))
    assert exact.rate != pytest.approx(fast.rate, abs=1e-3)


def test_the_rate_does_not_depend_on_the_scale_of_the_states():
    image, text = [normal(30, 4)], [normal(20, 4, seed=1) + 1]
    scaled = integration_rate([1000 * image[0]], [1000 * text[0]])
    assert scaled.rate == pytest.approx(integration_rate(image, text).rate, abs=1e-12)


def test_equal_modalities_have_a_rate_of_minus_infinity_or_nearly():
    x = normal(25, 3)
    assert integration_rate([x], [x.clone()]).rate < -12


def test_outliers_become_the_lower_median_and_the_others_stay():
    x = torch.ones(20, 2, dtype=torch.float64) + 0.01 * normal(20, 2)
    x[3] = torch.tensor([100.0, 0.0])
    found = replace_outliers(x)
    lower = x.sort(dim=0).values[9]  # 20 tokens: the 10th smallest, not the mean of the 10th and 11th
    torch.testing.assert_close(found[3], lower, rtol=0, atol=0)
    kept = torch.arange(20) != 3
    torch.testing.assert_close(found[kept], x[kept], rtol=0, atol=0)
    assert x[3, 0] == 100  # the input is not written to


def test_the_limits_are_those_before_any_replacement():
    """Two outliers of very different size: the small one hides behind the deviation that the large one makes."""
    x = torch.ones(40, 1, dtype=torch.float64) + 0.001 * normal(40, 1)
    x[0], x[1] = 1000.0, 50.0
    found = replace_outliers(x)
    assert found[0, 0] < 2
    assert found[1, 0] == 50


def test_integration_errors():
    with pytest.raises(DataError, match="1 layers of image tokens, 0 of text"):
        integration_rate([normal(3, 2)], [])
    with pytest.raises(DataError, match="2 or more"):
        integration_rate([normal(1, 2)], [normal(3, 2)])
    with pytest.raises(DataError, match="all text tokens of layer 0 are zero"):
        integration_rate([normal(3, 2)], [torch.zeros(3, 2)])
