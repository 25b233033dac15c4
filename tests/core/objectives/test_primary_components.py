"""Primary components against numpy's SVD, when they do nothing, and that this is said (Long-CLIP's silent identity)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.errors import ConfigError
from core.objectives import Dot, Embedding, FixedScale, LabelSmooth, Pair, PrimaryComponents, Unit


def spread(rows: int, width: int, rng: torch.Generator) -> torch.Tensor:
    """Rows whose spread falls from direction to direction, so that the components are well defined."""
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=rng, dtype=torch.float64))
    return torch.randn(rows, width, generator=rng, dtype=torch.float64) * (0.7 ** torch.arange(width)) @ turn + 0.3


def view_of(step, k: int, name: str = "a"):
    return PrimaryComponents(view=Embedding(modality=name), components=k)(step).x


def dense(x: np.ndarray, k: int) -> np.ndarray:
    mean = x.mean(0)
    u, s, v = np.linalg.svd(x - mean, full_matrices=False)
    return mean + (u[:, :k] * s[:k]) @ v[:k]


@pytest.mark.parametrize("k", [1, 3, 7])
def test_equals_the_truncated_svd(make_step, rng, k):
    x = spread(20, 8, rng)
    got = view_of(make_step(x, x), k)
    np.testing.assert_allclose(got.detach().numpy(), dense(x.numpy(), k), atol=1e-10)
    single = view_of(make_step(x.float(), x.float()), k)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.detach().double().numpy(), dense(x.numpy(), k), atol=1e-5)


def test_the_projection_keeps_the_mean_and_projecting_twice_is_projecting_once(make_step, rng):
    x = spread(20, 8, rng)
    once = view_of(make_step(x, x), 3).detach()
    torch.testing.assert_close(once.mean(0), x.mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(view_of(make_step(once, once), 3).detach(), once, rtol=0, atol=1e-10)
    assert torch.linalg.matrix_rank(once - once.mean(0)) == 3


def test_the_gradient_is_that_of_a_constant_projection(make_step, rng):
    x = spread(12, 6, rng)
    step, g = make_step(x, x), torch.randn(12, 6, generator=rng, dtype=torch.float64)
    (view_of(step, 2) * g).sum().backward()
    _, _, v = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    p = v[:2].T @ v[:2]
    want = (g - g.mean(0)) @ p + g.mean(0)
    torch.testing.assert_close(step.model.vectors["a"].grad, want, rtol=0, atol=1e-10)


def test_equal_spread_in_every_direction_has_a_finite_gradient(make_step):
    x = torch.cat([torch.eye(6), -torch.eye(6)]).double()  # the derivative of the SVD itself would be infinite here
    step = make_step(x, x)
    view_of(step, 2).square().sum().backward()
    assert step.model.vectors["a"].grad.isfinite().all()


@pytest.mark.parametrize("rows", [1, 2, 33])
def test_a_batch_in_its_own_components_is_the_identity_and_says_so_once(make_step, rng, rows):
    x = torch.randn(rows, 40, generator=rng)
    view, step = PrimaryComponents(view=Embedding(modality="a")), make_step(x, x)
    with pytest.warns(RuntimeWarning, match=r"components/inactive: .*above 33, or lower `components`"):
        assert torch.equal(view(step).x, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        view(step)
    assert view.inactive == 2
    assert view.seen == 2


def test_one_row_more_is_not_the_identity_and_does_not_warn(make_step, rng):
    x = torch.randn(34, 40, generator=rng)
    view = PrimaryComponents(view=Embedding(modality="a"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = view(make_step(x, x)).x
    assert view.inactive == 0
    assert (out - x).norm() > 0.01 * x.norm()


def test_vectors_no_wider_than_the_components_are_the_identity_and_say_so(make_step, rng):
    x = torch.randn(64, 32, generator=rng)
    with pytest.warns(RuntimeWarning, match="components/inactive: 64 rows of width 32"):
        assert torch.equal(view_of(make_step(x, x), 32), x)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_cannot_be_decomposed_comes_back_as_it_was_without_a_gradient(make_step, rng, bad):
    x = torch.randn(12, 6, generator=rng)
    x[3, 2] = bad
    out = view_of(make_step(x, x), 2)
    assert not out.requires_grad
    torch.testing.assert_close(out, x, rtol=0, atol=0, equal_nan=True)


def test_a_decomposition_that_does_not_converge_is_replaced_then_given_up(make_step, rng, monkeypatch):
    x = spread(20, 8, rng)

    def fails(*args, **kwargs):
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(torch.linalg, "svd", fails)
    got = view_of(make_step(x, x), 3)
    np.testing.assert_allclose(got.detach().numpy(), dense(x.numpy(), 3), atol=1e-8)
    monkeypatch.setattr(torch.linalg, "eigh", fails)
    out = view_of(make_step(x, x), 3)
    assert not out.requires_grad
    assert torch.equal(out, x)


def test_half_precision_is_decomposed_in_float32(make_step, rng):
    x = spread(20, 8, rng).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = view_of(make_step(x, x), 3)
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out.detach().double().numpy(), dense(x.double().numpy(), 3), atol=1e-5)


def test_in_a_pair_it_is_the_loss_of_long_clip(make_step, rng):
    """CE of short captions with PCA_k(image), smoothing 0.1, mean of both directions; nothing normalised after."""
    a, b = spread(16, 8, rng), torch.randn(16, 8, generator=rng, dtype=torch.float64)
    short = Pair(
        rows=PrimaryComponents(view=Unit(view=Embedding(modality="a")), components=3),
        keys=Unit(view=Embedding(modality="b")),
        similarity=Dot(),
        scale=FixedScale(temperature=0.01),
        target=LabelSmooth(amount=0.1),
    )
    loss = short(make_step(a, b))["loss"]
    image = torch.from_numpy(dense(F.normalize(a, dim=1).numpy(), 3))
    z, i = 100 * image @ F.normalize(b, dim=1).T, torch.arange(16)
    want = sum(F.cross_entropy(s, i, label_smoothing=0.1) for s in (z, z.T)) / 2
    torch.testing.assert_close(loss.double(), want, rtol=1e-6, atol=0)


def test_bad_settings_say_what_is_expected():
    with pytest.raises(ConfigError, match="components is 0; give at least 1"):
        PrimaryComponents(view=Embedding(modality="a"), components=0)
