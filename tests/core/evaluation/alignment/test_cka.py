"""CKA against dense Gram matrices. Legend: N = rows, A = anchors, D, E = widths."""

import math

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from core.evaluation.alignment import (
    LinearKernel,
    RBFKernel,
    debiased_kernel_cka,
    debiased_linear_cka,
    kernel_cka,
    linear_cka,
    local_cka_scores,
    rbf_cka,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def centred(k):
    h = torch.eye(len(k), dtype=k.dtype) - 1 / len(k)
    return h @ k @ h


def dense_cka(k, ell):
    hsic = lambda a, b: (centred(a) * centred(b)).sum()  # noqa: E731
    return float(hsic(k, ell) / (hsic(k, k) * hsic(ell, ell)).sqrt())


def dense_debiased(k, ell):
    """Song et al. 2012, by U-centring (Szekely and Rizzo 2014), another way to the same estimate."""

    def u_centred(a):
        n = len(a)
        a = a - a.diag().diag()
        r = a.sum(1)
        out = a - r[:, None] / (n - 2) - r[None, :] / (n - 2) + r.sum() / ((n - 1) * (n - 2))
        return out - out.diag().diag()

    hsic = lambda a, b: (u_centred(a) * u_centred(b)).sum()  # noqa: E731
    return float(hsic(k, ell) / (hsic(k, k) * hsic(ell, ell)).sqrt())


def rbf(x, fraction):
    distance = torch.pdist(x)
    sigma = fraction * distance.sort().values[(len(distance) - 1) // 2]
    return (-torch.cdist(x, x).square() / (2 * sigma**2)).exp()


@pytest.mark.parametrize(("d", "e"), [(4, 7), (40, 3), (50, 60)])  # from features, and from blocks where rows are few
@pytest.mark.parametrize("chunk", [5, 100])
def test_linear_cka_equals_its_dense_form(d, e, chunk):
    x, y = normal(21, d) + 3, normal(21, e, seed=1)
    assert linear_cka(x, y, chunk=chunk) == pytest.approx(dense_cka(x @ x.T, y @ y.T), abs=1e-12)
    expected = dense_debiased(x @ x.T, y @ y.T)
    assert debiased_linear_cka(x, y, chunk=chunk) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("fraction", [0.4, 1.0])
def test_rbf_cka_equals_its_dense_form(fraction):
    x, y = normal(24, 6), normal(24, 3, seed=1)
    assert rbf_cka(x, y, fraction=fraction, chunk=7) == pytest.approx(
        dense_cka(rbf(x, fraction), rbf(y, fraction)), abs=1e-8
    )
    kernel = RBFKernel(fraction=fraction)
    assert debiased_kernel_cka(x, y, kernel_x=kernel, kernel_y=kernel, chunk=7) == pytest.approx(
        dense_debiased(rbf(x, fraction), rbf(y, fraction)), abs=1e-8
    )


def test_the_two_forms_of_linear_cka_agree():
    x, y = normal(30, 8), normal(30, 5, seed=1)
    assert kernel_cka(x, y, kernel_x=LinearKernel(), kernel_y=LinearKernel(), chunk=9) == pytest.approx(
        linear_cka(x, y), abs=1e-12
    )


def test_cka_is_one_for_a_rotated_scaled_copy_and_not_for_a_stretched_one():
    x = normal(40, 6)
    rotation = torch.linalg.qr(normal(6, 6, seed=2)).Q
    for figure in (linear_cka, debiased_linear_cka, rbf_cka):
        assert figure(x, 3 * x @ rotation + 5) == pytest.approx(1, abs=1e-7)
        assert figure(x, x * torch.tensor([9.0, 1, 1, 1, 1, 1], dtype=x.dtype)) < 0.9
        assert figure(x, normal(40, 4, seed=3)) == pytest.approx(figure(normal(40, 4, seed=3), x), abs=1e-12)


def test_few_rows_inflate_cka_and_not_its_debiased_form():
    """Independent Gaussians of N = 50: about 0.09 for width 5, about 0.80 for width 200."""
    for width, biased in ((5, 0.09), (200, 0.80)):
        pairs = [(normal(50, width, seed=s), normal(50, width, seed=s + 100)) for s in range(20)]
        assert np.mean([linear_cka(x, y) for x, y in pairs]) == pytest.approx(biased, abs=0.03)
        assert abs(np.mean([debiased_linear_cka(x, y) for x, y in pairs])) < 0.04


def test_representations_without_any_spread_have_no_cka():
    assert math.isnan(linear_cka(torch.ones(6, 3), normal(6, 3)))
    assert math.isnan(debiased_linear_cka(normal(6, 3), torch.full((6, 3), 0.1)))


def test_cka_errors():
    with pytest.raises(DataError, match="needs at least 4"):
        debiased_linear_cka(normal(3, 2), normal(3, 2))
    with pytest.raises(DataError, match="nan or inf"):
        linear_cka(torch.full((4, 2), torch.nan), normal(4, 2))
    with pytest.raises(DataError, match="bandwidth would be 0"):
        rbf_cka(torch.ones(6, 2), normal(6, 2))
    with pytest.raises(ConfigError, match="fraction is 0"):
        RBFKernel(fraction=0)


@pytest.mark.parametrize("kernel", [None, RBFKernel(fraction=0.7)])
def test_local_cka_equals_cka_of_the_bordered_matrices(kernel):
    ax, ay, q, g = normal(15, 4) + 1, normal(15, 6, seed=1), normal(3, 4, seed=2), normal(5, 6, seed=3)
    scores = local_cka_scores(ax, ay, q, g, kernel_x=kernel, kernel_y=kernel, chunk=4)
    found = torch.cat([block for _, block in scores.blocks(2)])
    for i in range(3):
        for j in range(5):
            x, y = torch.cat([ax, q[i : i + 1]]), torch.cat([ay, g[j : j + 1]])
            if kernel is None:
                expected = dense_cka(x @ x.T, y @ y.T)
            else:  # the bandwidth is that of the anchors
                distances = [torch.pdist(a).sort().values for a in (ax, ay)]
                sigma = [0.7 * d[(len(d) - 1) // 2] for d in distances]
                grams = [(-torch.cdist(v, v).square() / (2 * s**2)).exp() for v, s in zip((x, y), sigma, strict=True)]
                expected = dense_cka(*grams)
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-9)


def test_local_cka_finds_partners_in_a_rotated_space_and_ignores_the_order_of_the_anchors():
    x = normal(60, 10)
    y = x @ torch.linalg.qr(normal(10, 10, seed=4)).Q + 0.05 * normal(60, 10, seed=5)
    scores = local_cka_scores(x[:40], y[:40], x[40:], y[40:]).block(slice(0, 20))
    assert (scores.argmax(1) == torch.arange(20)).float().mean() >= 0.9
    order = torch.randperm(40, generator=torch.Generator().manual_seed(6))
    both = local_cka_scores(x[:40][order], y[:40][order], x[40:], y[40:]).block(slice(0, 20))
    torch.testing.assert_close(both, scores)
    one_side = local_cka_scores(x[:40][order], y[:40], x[40:], y[40:]).block(slice(0, 20))
    assert (one_side.argmax(1) == torch.arange(20)).float().mean() < 0.4
    with pytest.raises(DataError, match="queries are"):
        local_cka_scores(x, y, x[:, :3], y)
