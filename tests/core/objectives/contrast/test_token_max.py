"""Token-wise similarity against a dense reference: values, gradients, padding, budgets, closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.objectives import BatchKeys, Cosine, FixedScale, OneHot, QueryMax, RowCE, TokenMax, Viewed
from core.objectives.contrast import token_matrix
from core.objectives.contrast.kernel import term_weights, tiled_loss
from core.objectives.contrast.matrix import dense
from core.objectives.contrast.targets import Ids
from core.objectives.contrast.token_matrix import TokenMaxMatrix, TokenSide
from core.objectives.contrast.token_max import best_matches


def tokens(rng, n: int, t: int, e: int, lengths: list[int] | None = None, dtype=torch.float64) -> Viewed:
    x = torch.randn(n, t, e, generator=rng, dtype=torch.float64).to(dtype)
    return Viewed(x, None if lengths is None else torch.arange(t) < torch.tensor(lengths)[:, None])


def reference(a: Viewed, b: Viewed) -> Tensor:
    """mean over real tokens of a of the largest cosine with a real token of b, by definition, pair by pair."""
    out = []
    for i in range(len(a.x)):
        for j in range(len(b.x)):
            x = a.x[i] if a.mask is None else a.x[i][a.mask[i]]
            y = b.x[j] if b.mask is None else b.x[j][b.mask[j]]
            if len(x) == 0 or len(y) == 0:
                out.append(a.x.new_zeros(()))
            else:
                out.append((F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T).amax(1).mean())
    return torch.stack(out).view(len(a.x), len(b.x))


def matrix_of(similarity, a: Viewed, b: Viewed):
    return similarity.matrix(similarity.rows(a), similarity.keys(b))


def loss_of(similarity, a: Viewed, b: Viewed, scale: Tensor, tile=(4, 3)) -> Tensor:
    """Both directions, as `Pair` puts them together."""
    i = torch.arange(len(a.x))
    weights = OneHot().weights(Ids(i, i), Ids(i, i), torch.float64)
    share = term_weights(weights.row_total_n, 0.5)
    return sum(
        tiled_loss(
            m, scale=scale, weights=weights, divergence=RowCE(), row_weight_n=share, col_weight_m=None, tile=tile
        )[0]
        for m in similarity.both(similarity.rows(a), similarity.keys(b))
    )


def dense_loss(a: Viewed, b: Viewed, scale: Tensor) -> Tensor:
    y = torch.arange(len(a.x))
    return (F.cross_entropy(scale * reference(a, b), y) + F.cross_entropy(scale * reference(b, a), y)) / 2


LENGTHS = [(None, None), ([5, 1, 3, 4, 5, 2], None), ([5, 1, 3, 4, 5, 2], [3, 4, 1, 2, 4, 4])]


@pytest.mark.parametrize(("of_a", "of_b"), LENGTHS)
def test_values_are_the_mean_of_the_best_cosines_of_real_tokens(rng, of_a, of_b):
    a, b = tokens(rng, 6, 5, 3, of_a), tokens(rng, 6, 4, 3, of_b)
    torch.testing.assert_close(dense(matrix_of(TokenMax(), a, b)), reference(a, b), rtol=0, atol=1e-12)
    torch.testing.assert_close(dense(matrix_of(TokenMax(), b, a)), reference(b, a), rtol=0, atol=1e-12)


@pytest.mark.parametrize("memory", [2**30, 60, 1], ids=["all kept", "a tile kept", "nothing kept"])
@pytest.mark.parametrize("block", [(1024, 2048), (7, 6)])
@pytest.mark.parametrize(("of_a", "of_b"), LENGTHS)
def test_loss_and_gradients_equal_the_dense_loss_whatever_is_kept(rng, monkeypatch, memory, block, of_a, of_b):
    monkeypatch.setattr(token_matrix, "BLOCK_CPU", block)
    a, b = tokens(rng, 6, 5, 3, of_a), tokens(rng, 6, 4, 3, of_b)
    leaves = [a.x.requires_grad_(), b.x.requires_grad_(), torch.tensor(7.0).double().requires_grad_()]
    similarity = TokenMax()
    similarity.memory = memory
    got = loss_of(similarity, a, b, leaves[2])
    want = dense_loss(a, b, leaves[2])
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    for g, w in zip(torch.autograd.grad(got, leaves), torch.autograd.grad(want, leaves), strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-12)


def test_a_small_budget_makes_small_tiles_and_a_large_one_leaves_them(rng):
    side = TokenSide(tokens(rng, 40, 5, 3))
    assert TokenMaxMatrix(side, side).fitting((2048, 4096)) == (2048, 4096)
    matrix = TokenMaxMatrix(side, side, memory=1000)
    h, w = matrix.fitting((2048, 4096))
    assert matrix._bytes(h, w) <= 1000 < matrix._bytes(2 * h, w)
    with torch.no_grad():  # nothing is kept without a gradient
        assert TokenMaxMatrix(side, side, memory=1000).fitting((30, 20)) == (30, 20)


def test_gradients_agree_with_finite_differences(rng):
    a, b = tokens(rng, 3, 3, 3, [3, 1, 2]), tokens(rng, 3, 2, 3)
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    leaves = (a.x.requires_grad_(), b.x.requires_grad_(), scale)
    assert torch.autograd.gradcheck(
        lambda x, y, s: loss_of(TokenMax(), Viewed(x, a.mask), Viewed(y), s, tile=(2, 2)), leaves
    )


def test_only_matched_tokens_get_a_gradient(rng):
    """One row against one column: token 0 of the column is everybody's best match."""
    x = torch.tensor([[[1.0, 0.1], [1.0, -0.1]]], requires_grad=True)
    y = torch.tensor([[[1.0, 0.0], [-1.0, 0.3], [-1.0, 0.2]]], requires_grad=True)
    dense(matrix_of(TokenMax(), Viewed(x), Viewed(y))).sum().backward()
    assert x.grad.abs().sum(-1).gt(0).all()
    assert not y.grad[0, 1:].any()


def test_one_token_on_each_side_is_clip(rng):
    a, b = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    want = dense(matrix_of(Cosine(), Viewed(a), Viewed(b)))
    for x, y in ((a[:, None], b[:, None]), (a, b)):
        torch.testing.assert_close(dense(matrix_of(TokenMax(), Viewed(x), Viewed(y))), want, rtol=0, atol=1e-6)


def test_doubling_every_token_changes_nothing(rng):
    a, b = tokens(rng, 4, 3, 5), tokens(rng, 4, 2, 5)
    twice = [Viewed(v.x.repeat_interleave(2, 1)) for v in (a, b)]
    torch.testing.assert_close(
        dense(matrix_of(TokenMax(), *twice)), dense(matrix_of(TokenMax(), a, b)), rtol=0, atol=1e-12
    )


def test_padding_changes_nothing_whatever_it_holds(rng):
    a, b = tokens(rng, 4, 3, 5), tokens(rng, 4, 2, 5)
    junk = torch.full((4, 2, 5), math.nan).double()
    mask = [torch.arange(t + 2).expand(4, -1) < t for t in (3, 2)]
    leaves = [a.x.requires_grad_(), b.x.requires_grad_()]
    plain = torch.autograd.grad(dense(matrix_of(TokenMax(), a, b)).square().sum(), leaves)
    padded = [Viewed(torch.cat([v.x, junk], 1), m) for v, m in zip((a, b), mask, strict=True)]
    value = dense(matrix_of(TokenMax(), *padded))
    torch.testing.assert_close(value, dense(matrix_of(TokenMax(), a, b)), rtol=0, atol=1e-12)
    for g, w in zip(torch.autograd.grad(value.square().sum(), leaves), plain, strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-12)


def test_padding_is_no_floor_of_the_maximum(rng):
    """Zeroed text padding would lift every negative best cosine to 0 (the fault of a released code)."""
    a, b = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[-1.0, 0.2], [0.0, 0.0]]])
    mask = torch.tensor([[True, False]])
    value = dense(matrix_of(TokenMax(), Viewed(a), Viewed(b, mask)))
    assert value.item() == pytest.approx(-1 / math.sqrt(1.04), abs=1e-6)


def test_the_two_directions_differ():
    """Row tokens (x, -x), column token x: the row's mean is (1 - 1) / 2, the column's best match is 1."""
    two, one = Viewed(torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])), Viewed(torch.tensor([[[1.0, 0.0]]]))
    assert dense(matrix_of(TokenMax(), two, one)).item() == pytest.approx(0)
    assert dense(matrix_of(TokenMax(), one, two)).item() == pytest.approx(1)
    assert TokenMax.directional


@pytest.mark.parametrize("which", [0, 1])
def test_a_row_of_padding_has_similarity_zero_and_no_gradient(rng, which):
    sides = [tokens(rng, 3, 4, 5), tokens(rng, 3, 2, 5)]
    mask = torch.ones(sides[which].x.shape[:2], dtype=torch.bool)
    mask[1] = False
    sides[which] = Viewed(sides[which].x, mask)
    leaves = [v.x.requires_grad_() for v in sides]
    value = dense(matrix_of(TokenMax(), *sides))
    assert not value.select(which, 1).any()
    loss = loss_of(TokenMax(), *sides, torch.tensor(5.0).double())
    grads = torch.autograd.grad(loss, leaves)
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in grads)
    assert not grads[which][1].any()
    nothing = [Viewed(v.x, torch.zeros(v.x.shape[:2], dtype=torch.bool)) for v in sides]
    loss = loss_of(TokenMax(), *nothing, torch.tensor(5.0).double())
    assert loss.item() == pytest.approx(math.log(3), abs=1e-12)
    assert not any(g.any() for g in torch.autograd.grad(loss, leaves))


def test_a_permutation_of_the_tokens_changes_nothing(rng):
    a, b = tokens(rng, 4, 3, 5, [3, 2, 1, 3]), tokens(rng, 4, 6, 5)
    order = torch.randperm(6, generator=rng)
    want = dense(matrix_of(TokenMax(), a, b))
    torch.testing.assert_close(dense(matrix_of(TokenMax(), a, Viewed(b.x[:, order]))), want, rtol=0, atol=1e-12)
    flipped = Viewed(a.x.flip(1), a.mask.flip(1))
    torch.testing.assert_close(dense(matrix_of(TokenMax(), flipped, b)), want, rtol=0, atol=1e-12)


def test_bfloat16_tokens_are_compared_in_float32(rng):
    a, b = tokens(rng, 5, 4, 16, dtype=torch.bfloat16), tokens(rng, 5, 3, 16, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = dense(matrix_of(TokenMax(), a, b))
    assert value.dtype == torch.float32
    want = reference(Viewed(a.x.double()), Viewed(b.x.double()))
    torch.testing.assert_close(value.double(), want, rtol=0, atol=1e-6)
    (grad,) = torch.autograd.grad(dense(matrix_of(TokenMax(), Viewed(a.x.requires_grad_()), b)).sum(), a.x)
    assert grad.dtype == torch.bfloat16


def test_a_frozen_side_gets_no_gradient_and_the_other_the_same(rng):
    a, b, s = tokens(rng, 4, 3, 5), tokens(rng, 4, 2, 5), torch.tensor(3.0).double().requires_grad_()
    both = torch.autograd.grad(loss_of(TokenMax(), Viewed(a.x.requires_grad_()), Viewed(b.x.requires_grad_()), s), (
        a.x, b.x, s,
    ))  # fmt: skip
    for frozen in (0, 1):
        x = [v.x.detach().requires_grad_(k != frozen) for k, v in enumerate((a, b))]
        found = torch.autograd.grad(loss_of(TokenMax(), Viewed(x[0]), Viewed(x[1]), s), (x[1 - frozen], s))
        torch.testing.assert_close(found[0], both[1 - frozen], rtol=0, atol=1e-12)
        torch.testing.assert_close(found[1], both[2], rtol=0, atol=1e-12)
    only_scale = torch.autograd.grad(loss_of(TokenMax(), Viewed(a.x.detach()), Viewed(b.x.detach()), s), s)
    torch.testing.assert_close(only_scale[0], both[2], rtol=0, atol=1e-12)


def test_the_pair_term_runs_on_tokens_in_both_directions(rng, make_step):
    """`Pair` with one-token views is `Pair` with cosines, statistics included."""
    from core.objectives import Pair

    a, b = torch.randn(6, 4, generator=rng), torch.randn(6, 4, generator=rng)
    step = make_step(a, b)
    for directions in ((0.5, 0.5), (0.8, 0.2), (1, 0), (0, 1)):
        setting = {"rows": "a", "keys": "b", "scale": FixedScale(temperature=0.2), "directions": directions}
        plain = Pair(**setting, columns=BatchKeys())(step)
        wise = Pair(**setting, similarity=TokenMax(), columns=BatchKeys())(step)
        torch.testing.assert_close(wise["loss"], plain["loss"], rtol=0, atol=1e-6)


def best_query(a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("nqe,me->nmq", F.normalize(a, dim=-1), F.normalize(b, dim=-1)).amax(2)


def test_query_max_is_the_best_query_and_symmetric(rng):
    a, b = tokens(rng, 4, 3, 5), Viewed(torch.randn(6, 5, generator=rng, dtype=torch.float64))
    want = best_query(a.x, b.x)
    torch.testing.assert_close(dense(matrix_of(QueryMax(), a, b)), want, rtol=0, atol=1e-12)
    torch.testing.assert_close(dense(matrix_of(QueryMax(), b, a)), want.T, rtol=0, atol=1e-12)
    assert not QueryMax.directional
    with pytest.raises(ConfigError, match="both sides have 2 axes per row; give a view of tokens"):
        matrix_of(QueryMax(), a, a)


@pytest.mark.parametrize("swap", [False, True])
def test_query_max_loss_and_gradients_equal_the_dense_ones(rng, swap):
    a, b = (
        tokens(rng, 5, 3, 4).x.requires_grad_(),
        torch.randn(5, 4, generator=rng, dtype=torch.float64).requires_grad_(),
    )
    i, scale = torch.arange(5), torch.tensor(4.0).double().requires_grad_()
    weights = OneHot().weights(Ids(i, i), Ids(i, i), torch.float64)
    share = term_weights(weights.row_total_n, 0.5)
    sides = (Viewed(b), Viewed(a)) if swap else (Viewed(a), Viewed(b))
    got, _ = tiled_loss(
        matrix_of(QueryMax(), *sides),
        scale=scale,
        weights=weights,
        divergence=RowCE(),
        row_weight_n=share,
        col_weight_m=share,
        tile=(2, 3),
    )
    z = scale * best_query(a, b)
    want = (F.cross_entropy(z, i) + F.cross_entropy(z.T, i)) / 2
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    for g, w in zip(torch.autograd.grad(got, (a, b, scale)), torch.autograd.grad(want, (a, b, scale)), strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-12)


def test_best_matches_of_a_table_are_maxima_over_real_tokens(rng):
    queries, table = tokens(rng, 4, 3, 5, [3, 1, 2, 0]), torch.randn(7, 5, generator=rng, dtype=torch.float64)
    leaves = (queries.x.requires_grad_(), table.requires_grad_())
    got = best_matches(table, queries)
    z = (queries.x @ table.T).masked_fill(~queries.mask[..., None], -torch.inf).amax(1)
    want = z.masked_fill(~queries.mask.any(1)[:, None], 0)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    weight = torch.randn(4, 7, generator=rng, dtype=torch.float64)
    for g, w in zip(
        torch.autograd.grad((weight * got).sum(), leaves),
        torch.autograd.grad((weight * want).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-12)
