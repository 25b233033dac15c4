"""The tiled kernel against a dense reference written here: values, gradients, tile sizes, precisions, limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.objectives.contrast.divergence import RowCE
from core.objectives.contrast.kernel import term_weights, tiled_loss
from core.objectives.contrast.matrix import DotMatrix
from core.objectives.contrast.normaliser import BoundedSums, RunningSums
from core.objectives.contrast.targets import Equality, Ids, LabelSmooth, MaskedDuplicates, OneHot, Target
from core.objectives.contrast.tiles import tiles

TARGETS = [OneHot(), Equality(key="k"), LabelSmooth(amount=0.1), MaskedDuplicates(key="k")]


def unit(rows: int, width: int, rng: torch.Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.normalize(torch.randn(rows, width, generator=rng, dtype=torch.float64), dim=-1).to(dtype)


def run(
    a, k, scale, target: Target, row_ids: Ids, col_ids: Ids, shares=(0.5, 0.5), bias=None, tile=(4, 3), sample=None
):
    dtype = torch.promote_types(a.dtype, torch.float32)
    weights = target.weights(row_ids, col_ids, dtype)
    return tiled_loss(
        DotMatrix(a, k),
        scale=scale,
        bias=bias,
        weights=weights,
        divergence=RowCE(),
        row_weight_n=term_weights(weights.row_total_n, shares[0], sample),
        col_weight_m=term_weights(weights.col_total_m, shares[1], sample),
        tile=tile,
    )


def dense(a, k, scale, target: Target, row_ids: Ids, col_ids: Ids, shares=(0.5, 0.5), bias=None, sample=None) -> Tensor:
    """The same loss from whole matrices, by definition: masks from ids, log_softmax, sums."""
    z = scale * a @ k.T + (0 if bias is None else bias)
    same_item = row_ids.item[:, None] == col_ids.item
    same_content = row_ids.content[:, None] == col_ids.content
    on = (same_content if isinstance(target, Equality) else same_item).to(z.dtype)
    if isinstance(target, MaskedDuplicates):
        z = z.masked_fill(same_content & ~same_item, -math.inf)
    total = z.new_zeros(())
    for z_, on_, share in ((z, on, shares[0]), (z.T, on.T, shares[1])):
        if share is None:
            continue
        w = on_ / on_.sum(1, keepdim=True).clamp_min(1)
        if isinstance(target, LabelSmooth):
            w = (1 - target.amount) * w + target.amount / w.shape[1]
        terms = -(w * F.log_softmax(z_, 1).masked_fill(w == 0, 0)).sum(1)
        factor = (on_.sum(1) > 0).to(z.dtype) * (1 if sample is None else sample)
        total = total + share * (factor * terms).sum() / factor.sum()
    return total


def ids(n: int, contents: int | None = None, rng: torch.Generator | None = None, offset: int = 0) -> Ids:
    item = torch.arange(offset, offset + n)
    return Ids(item, item if contents is None else torch.randint(contents, (n,), generator=rng))


def with_grad(fn, *inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = fn(*leaves)
    return value.detach(), torch.autograd.grad(value, leaves)


@pytest.mark.parametrize("tile", [(1, 1), (4, 3), (5, 11), (11, 11), (64, 64)])
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.75, 0.25), (1.0, None), (None, 1.0)])
def test_equals_the_dense_loss_in_float64(rng, tile, target, shares):
    a, k, s, b = unit(11, 6, rng), unit(11, 6, rng), torch.tensor(9.0).double(), torch.tensor(-2.0).double()
    i = ids(11, contents=5, rng=rng)
    got, got_grads = with_grad(lambda *x: run(*x[:3], target, i, i, shares, bias=x[3], tile=tile)[0], a, k, s, b)
    want, want_grads = with_grad(lambda *x: dense(*x[:3], target, i, i, shares, bias=x[3]), a, k, s, b)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    for g, w in zip(got_grads, want_grads, strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 14.2857, 60.0, 100.0])
def test_equals_the_dense_loss_in_float32(rng, scale):
    a, k = unit(150, 32, rng), unit(150, 32, rng)
    k = F.normalize(a + 0.5 * k, dim=-1)
    i, s = ids(150), torch.tensor(scale)
    want, want_grads = with_grad(lambda *x: dense(*x, OneHot(), i, i), a, k, s.double())
    got, got_grads = with_grad(lambda *x: run(*x, OneHot(), i, i, tile=(64, 48))[0], a.float(), k.float(), s)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-6)
    for g, w in zip(got_grads, want_grads, strict=True):
        torch.testing.assert_close(g.double(), w, rtol=0, atol=1e-6)


def test_both_normalisers_are_exact_and_are_chosen_by_the_largest_possible_logit(rng):
    a, i = unit(9, 4, rng), ids(9)
    for scale, kind in ((70.0, BoundedSums), (700.0, RunningSums)):  # float64 sums reach exp(~700)
        s = torch.tensor(scale).double()
        loss, running = run(a, a.flip(0), s, OneHot(), i, i)
        assert type(running.normaliser) is kind
        torch.testing.assert_close(loss, dense(a, a.flip(0), s, OneHot(), i, i), rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_huge_logits_stay_finite_and_exact(rng, scale):
    a, k, i = unit(13, 5, rng), unit(13, 5, rng), ids(13, contents=3, rng=rng)
    s = torch.tensor(scale).double()
    for target in TARGETS:
        got, got_grads = with_grad(lambda *x, t=target: run(*x, t, i, i)[0], a, k, s)
        want, want_grads = with_grad(lambda *x, t=target: dense(*x, t, i, i), a, k, s)
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
        for g, w in zip(got_grads, want_grads, strict=True):
            torch.testing.assert_close(g, w, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: type(t).__name__)
def test_gradients_agree_with_finite_differences(rng, target):
    a, k = (unit(5, 3, rng).requires_grad_() for _ in range(2))
    s, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (3.0, -1.0))
    i = ids(5, contents=3, rng=rng)
    assert torch.autograd.gradcheck(lambda *x: run(*x[:3], target, i, i, (0.7, 0.3), bias=x[3])[0], (a, k, s, b))


def test_rectangular_with_extra_columns(rng):
    """Rows 4..8 of 15 columns, as in a process that holds a part of the rows; extra columns are pure negatives."""
    a, k, s = unit(5, 6, rng), unit(15, 6, rng), torch.tensor(5.0).double()
    rows, cols = ids(5, offset=4), ids(15)
    for shares in ((1.0, None), (0.5, 0.5)):
        got = with_grad(lambda *x, sh=shares: run(*x, OneHot(), rows, cols, sh)[0], a, k, s)
        want = with_grad(lambda *x, sh=shares: dense(*x, OneHot(), rows, cols, sh), a, k, s)
        for g, w in zip((got[0], *got[1]), (want[0], *want[1]), strict=True):
            torch.testing.assert_close(g, w, rtol=0, atol=1e-10)


def test_sample_weights_weigh_rows_and_the_columns_of_the_same_sample(rng):
    a, k, s, i = unit(7, 4, rng), unit(7, 4, rng), torch.tensor(4.0).double(), ids(7)
    w = torch.rand(7, generator=rng, dtype=torch.float64)
    got = with_grad(lambda *x: run(*x, OneHot(), i, i, sample=w)[0], a, k, s)
    want = with_grad(lambda *x: dense(*x, OneHot(), i, i, sample=w), a, k, s)
    for g, e in zip((got[0], *got[1]), (want[0], *want[1]), strict=True):
        torch.testing.assert_close(g, e, rtol=0, atol=1e-10)


def test_a_row_without_a_positive_has_no_term(rng):
    a, k, s = unit(4, 3, rng), unit(3, 3, rng), torch.tensor(4.0).double()
    whole = run(a, k, s, OneHot(), ids(4), ids(3), (1.0, None))[0]
    torch.testing.assert_close(whole, run(a[:3], k, s, OneHot(), ids(3), ids(3), (1.0, None))[0], rtol=0, atol=1e-12)


def test_a_frozen_side_gets_no_gradient_and_the_other_side_the_same_one(rng):
    a, k, s, i = unit(6, 4, rng), unit(6, 4, rng), torch.tensor(4.0).double(), ids(6)
    both = with_grad(lambda *x: run(*x, OneHot(), i, i)[0], a, k, s)[1]
    for frozen in (0, 1):
        x = [a.clone().requires_grad_(frozen != 0), k.clone().requires_grad_(frozen != 1), s.clone().requires_grad_()]
        run(*x, OneHot(), i, i)[0].backward()
        assert x[frozen].grad is None
        torch.testing.assert_close(x[1 - frozen].grad, both[1 - frozen], rtol=0, atol=1e-12)
        torch.testing.assert_close(x[2].grad, both[2], rtol=0, atol=1e-12)
    with torch.no_grad():
        run(a.clone().requires_grad_(), k, s, OneHot(), i, i)  # no second pass, no error


def test_bfloat16_is_computed_in_float32(rng):
    a, k, i, s = unit(40, 16, rng).bfloat16(), unit(40, 16, rng).bfloat16(), ids(40), torch.tensor(20.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = run(a, k, s, OneHot(), i, i)[0]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, dense(a.float(), k.float(), s, OneHot(), i, i), rtol=0, atol=1e-5)
    grads = with_grad(lambda x: run(x, k, s, OneHot(), i, i)[0], a)[1]
    assert grads[0].dtype == torch.bfloat16


def test_backward_twice_gives_the_same_gradient_and_scales_with_the_outer_one(rng):
    a, k, i, s = unit(6, 4, rng).requires_grad_(), unit(6, 4, rng), ids(6), torch.tensor(3.0).double()
    loss = run(a, k, s, OneHot(), i, i)[0]
    one, two = (torch.autograd.grad(f * loss, a, retain_graph=True)[0] for f in (1.0, -2.5))
    torch.testing.assert_close(two, -2.5 * one, rtol=0, atol=1e-15)


def test_accuracy_counts_a_tie_as_a_miss():
    eye, i = torch.eye(4), ids(4)
    assert run(eye, eye, torch.tensor(5.0), OneHot(), i, i)[1].accuracy() == 1
    assert run(eye, eye.roll(1, 0), torch.tensor(5.0), OneHot(), i, i)[1].accuracy() == 0
    assert run(torch.ones(4, 2), torch.ones(4, 2), torch.tensor(5.0), OneHot(), i, i)[1].accuracy() == 0
    assert run(torch.ones(4, 2), torch.ones(4, 2), torch.tensor(5.0), Equality(key="k"), i, i)[1].accuracy() == 0
    half = torch.eye(4)[[0, 1, 3, 2]]
    assert run(eye, half, torch.tensor(5.0), OneHot(), i, i)[1].accuracy() == 0.5


def test_blocks_of_a_target_tile_its_dense_weights(rng):
    i = ids(10, contents=4, rng=rng)
    for target in TARGETS:
        weights = target.weights(i, i, torch.float64)
        (whole,) = (weights.block(t).dense() for t in tiles(10, 10, (10, 10)))
        torch.testing.assert_close(whole[0].sum(1), torch.ones(10).double())  # every row is a distribution
        torch.testing.assert_close(whole[1].sum(0), torch.ones(10).double())
        for tile in tiles(10, 10, (3, 4)):
            for part, full in zip(weights.block(tile).dense(), whole, strict=True):
                torch.testing.assert_close(part, full[tile.rows, tile.cols], rtol=0, atol=0)


def test_tiles_cover_every_entry_once():
    seen = torch.zeros(7, 10)
    for tile in tiles(7, 10, (3, 4)):
        seen[tile.rows, tile.cols] += 1
    assert torch.equal(seen, torch.ones(7, 10))


def test_a_loss_without_a_direction_is_refused(rng):
    i = ids(3)
    with pytest.raises(ValueError, match="neither rows nor columns carry a loss"):
        run(unit(3, 2, rng), unit(3, 2, rng), torch.tensor(1.0), OneHot(), i, i, (None, None))
