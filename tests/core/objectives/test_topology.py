"""Topology preservation against a dense float64 reference: values, gradients, the self column, empty batches."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.objectives import FrozenTeacher, Objective, Step, TopologyPreservation
from core.objectives.row_kl import row_kl

T = 0.07


def unit(rows: int, width: int, rng: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(rows, width, generator=rng, dtype=torch.float64), dim=-1)


def dense_kl(new_rows, new_cols, old_rows, old_cols, leave_out_self: bool) -> Tensor:
    """KL(old || new), mean over rows, from whole matrices; the self column is cut out, not filled."""
    z, y = new_rows @ new_cols.T / T, old_rows @ old_cols.T / T
    if leave_out_self:
        n = len(z)
        off = ~torch.eye(n, dtype=torch.bool)
        z, y = z[off].view(n, n - 1), y[off].view(n, n - 1)
    log_p, log_q = z.log_softmax(1), y.log_softmax(1)
    return (log_q.exp() * (log_q - log_p)).sum() / len(z)


def dense_topology(a, b, old_a, old_b) -> tuple[Tensor, Tensor]:
    a, b, old_a, old_b = (F.normalize(x, dim=-1) for x in (a, b, old_a, old_b))
    cross = (dense_kl(a, b, old_a, old_b, False) + dense_kl(b, a, old_b, old_a, False)) / 2
    within = (dense_kl(a, a, old_a, old_a, True) + dense_kl(b, b, old_b, old_b, True)) / 2
    return cross, within


@pytest.mark.parametrize("tile", [(1, 1), (4, 3), (9, 9), (64, 64)])
@pytest.mark.parametrize("leave_out_self", [False, True])
def test_row_kl_equals_the_dense_one_in_float64(rng, tile, leave_out_self):
    new_r, new_c, old_r, old_c = unit(9, 5, rng), unit(9, 5, rng), unit(9, 3, rng), unit(9, 3, rng)
    own = torch.arange(9) if leave_out_self else None
    x = [new_r.clone().requires_grad_(), new_c.clone().requires_grad_()]
    w = [new_r.clone().requires_grad_(), new_c.clone().requires_grad_()]
    got = row_kl(*x, old_r, old_c, scale=1 / T, own_n=own, tile=tile)
    want = dense_kl(*w, old_r, old_c, leave_out_self)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    for g, e in zip(torch.autograd.grad(got, x), torch.autograd.grad(want, w), strict=True):
        torch.testing.assert_close(g, e, rtol=0, atol=1e-10)


def test_row_kl_of_float32_is_within_a_millionth_and_of_huge_logits_finite(rng):
    new_r, new_c, old_r, old_c = (unit(60, 16, rng) for _ in range(4))
    want = dense_kl(new_r, new_c, old_r, old_c, False)
    got = row_kl(*(x.float() for x in (new_r, new_c, old_r, old_c)), scale=1 / T, tile=(16, 24))
    torch.testing.assert_close(got.double(), want, rtol=0, atol=2e-6)
    huge = row_kl(new_r.float().requires_grad_(), new_c.float(), old_r.float(), old_c.float(), scale=1e5, tile=(16, 24))
    assert math.isfinite(float(huge.detach()))


def test_row_kl_agrees_with_finite_differences(rng):
    x = [unit(5, 3, rng).requires_grad_(), unit(6, 3, rng).requires_grad_()]
    old_r, old_c = unit(5, 2, rng), unit(6, 2, rng)
    weight = torch.rand(5, generator=rng, dtype=torch.float64)
    own = torch.tensor([0, 2, 1, 5, 3])

    def value(rows, cols):
        return row_kl(rows, cols, old_r, old_c, scale=3.0, own_n=own, weight_n=weight, tile=(2, 4))

    assert torch.autograd.gradcheck(value, x)


def test_the_self_column_has_a_weight_of_exactly_zero(rng):
    """Whatever the own column holds, value and gradient stay the same bits, and it gets no gradient."""
    rows, cols, old = unit(6, 4, rng), unit(6, 4, rng), unit(6, 4, rng)
    own = torch.full((6,), 2)
    out = []
    for filled in (0.0, 50.0):
        changed = cols.clone()
        changed[2] += filled
        r, c = rows.clone().requires_grad_(), changed.requires_grad_()
        value = row_kl(r, c, old, old, scale=1 / T, own_n=own)
        out.append((value.detach(), *torch.autograd.grad(value, (r, c))))
    for first, second in zip(*out, strict=True):
        assert torch.equal(first, second)
    assert torch.equal(out[0][2][2], torch.zeros(4, dtype=torch.float64))


def stepped(make_step, a: Tensor, b: Tensor, old_a: Tensor, old_b: Tensor, **batch) -> Step:
    step, old = make_step(a, b, **batch), make_step(old_a, old_b, **batch)
    step.teachers = {"old": old.model}
    return step


def term(**how) -> TopologyPreservation:
    return TopologyPreservation(first="a", second="b", teacher="old", **how)


@pytest.mark.parametrize("tile", [(3, 2), (64, 64)])
def test_the_term_equals_the_dense_sum_and_gives_its_gradient(make_step, rng, tile):
    a, b, old_a, old_b = (torch.randn(7, 5, generator=rng, dtype=torch.float64) for _ in range(4))
    step = stepped(make_step, a, b, old_a, old_b)
    values = term(tile=tile, cross_weight=2.0, within_weight=0.5)(step)
    leaves = [a.clone().requires_grad_(), b.clone().requires_grad_()]
    cross, within = dense_topology(*leaves, old_a, old_b)
    torch.testing.assert_close(values["cross"], cross.detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(values["within"], within.detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(values["loss"], 2 * cross + 0.5 * within, rtol=0, atol=1e-9)
    values["loss"].backward()
    want = torch.autograd.grad(2 * cross + 0.5 * within, leaves)
    for name, gradient in zip(("a", "b"), want, strict=True):
        torch.testing.assert_close(step.model.vectors[name].grad, gradient, rtol=0, atol=1e-9)


def test_the_new_model_equal_to_the_old_gives_exactly_nothing(make_step, rng):
    a, b = (torch.randn(9, 6, generator=rng) for _ in range(2))
    step = stepped(make_step, a, b, a, b)
    values = term(tile=(4, 4))(step)
    values["loss"].backward()
    assert values["loss"] == 0
    assert values["cross"] == 0
    assert values["within"] == 0
    for name in ("a", "b"):
        assert torch.equal(step.model.vectors[name].grad, torch.zeros(9, 6))


def test_swapping_the_modalities_and_permuting_rows_changes_nothing(make_step, rng):
    a, b, old_a, old_b = (torch.randn(8, 5, generator=rng, dtype=torch.float64) for _ in range(4))
    one = term()(stepped(make_step, a, b, old_a, old_b))["loss"]
    swapped = TopologyPreservation(first="b", second="a", teacher="old")(stepped(make_step, a, b, old_a, old_b))
    order = torch.randperm(8, generator=rng)
    permuted = term()(stepped(make_step, *(x[order] for x in (a, b, old_a, old_b))))
    for other in (swapped, permuted):
        torch.testing.assert_close(other["loss"], one, rtol=0, atol=1e-12)


def test_a_joint_rotation_of_the_old_space_changes_nothing(make_step, rng):
    """Topology is what is kept, not coordinates; the old model may even be of another width."""
    a, b, old_a, old_b = (torch.randn(8, 5, generator=rng, dtype=torch.float64) for _ in range(4))
    turn, _ = torch.linalg.qr(torch.randn(9, 5, generator=rng, dtype=torch.float64))
    one = term()(stepped(make_step, a, b, old_a, old_b))["loss"]
    other = term()(stepped(make_step, a, b, old_a @ turn.T, old_b @ turn.T))["loss"]
    torch.testing.assert_close(other, one, rtol=0, atol=1e-10)


def test_bfloat16_embeddings_are_compared_in_float32(make_step, rng):
    a, b, old_a, old_b = (torch.randn(16, 8, generator=rng) for _ in range(4))
    whole = term()(stepped(make_step, a, b, old_a, old_b))["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = term()(stepped(make_step, *(x.bfloat16() for x in (a, b, old_a, old_b))))["loss"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.05, atol=0)  # bf16 keeps 8 bits; logits reach 14


@pytest.mark.parametrize("pairs", [0, 1])
def test_fewer_than_two_pairs_give_an_exact_zero_with_a_graph(make_step, rng, pairs):
    a, b = torch.randn(2, 4, generator=rng), torch.randn(pairs, 4, generator=rng)
    present = torch.arange(2) < pairs
    step = stepped(make_step, a, b, a, b, present_a=torch.ones(2, dtype=torch.bool), present_b=present)
    loss = term()(step)["loss"]
    assert loss == 0
    loss.backward()
    assert torch.equal(step.model.vectors["a"].grad, torch.zeros(2, 4))


def test_a_row_without_its_partner_counts_for_nothing(make_step, rng):
    a, b, old_a, old_b = (torch.randn(5, 4, generator=rng, dtype=torch.float64) for _ in range(4))
    present_b = torch.tensor([True, True, False, True, True])
    some = stepped(
        make_step, a, b[present_b], old_a, old_b[present_b], present_a=torch.ones(5, dtype=torch.bool),
        present_b=present_b,
    )  # fmt: skip
    whole = stepped(make_step, *(x[present_b] for x in (a, b, old_a, old_b)))
    torch.testing.assert_close(term()(some)["loss"], term()(whole)["loss"], rtol=0, atol=1e-12)


def test_with_a_frozen_teacher_the_first_step_costs_nothing_and_a_later_one_does(two_towers, make_batch, rng):
    objective = Objective(terms=[term()], teachers={"old": FrozenTeacher()})
    objective.attach(two_towers)
    batch = make_batch(torch.randn(6, 6, generator=rng), torch.randn(6, 6, generator=rng))

    def loss() -> Tensor:
        step = Step(
            model=two_towers, batch=batch, index=0, generator=torch.Generator(), teachers=objective.teacher_models()
        )
        return objective(step)[0]

    assert loss() == 0
    with torch.no_grad():
        two_towers.encoders["a"].linear.weight.mul_(-1)
    assert loss() > 0


def test_bad_settings_say_what_is_expected():
    with pytest.raises(ConfigError, match=r"temperature is 0; give a value above 0, such as 0\.07"):
        term(temperature=0)
    with pytest.raises(ConfigError, match="within_weight -1"):
        term(within_weight=-1)
