"""Cosine regression: limits, independence of rows, what takes a gradient, and SLAP's four terms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.errors import ConfigError
from core.objectives import CosineRegression, Embedding, FromTeacher, Head, Objective, Step


def step_of(model, batch, rng, **teachers) -> Step:
    return Step(model=model, batch=batch, index=0, generator=rng, teachers=teachers)


@pytest.mark.parametrize(("sign", "loss"), [(1, 0.0), (-1, 4.0)])
def test_the_loss_lies_between_0_and_4(make_step, rng, sign, loss):
    a = torch.randn(5, 4, generator=rng)
    values = CosineRegression(online="a", target="b")(make_step(a, sign * 3 * a))
    assert values["loss"].item() == pytest.approx(loss, abs=1e-6)
    assert values["cosine"].item() == pytest.approx(sign, abs=1e-6)


def test_value_and_gradient_equal_the_formula(make_step, rng):
    a, b = (torch.randn(5, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    step = make_step(a, b)
    loss = CosineRegression(online="a", target="b")(step)["loss"]
    a.requires_grad_()
    want = (2 - 2 * torch.cosine_similarity(a, b)).mean()
    torch.testing.assert_close(loss, want, rtol=0, atol=1e-12)
    loss.backward()
    torch.testing.assert_close(step.model.vectors["a"].grad, torch.autograd.grad(want, a)[0], rtol=0, atol=1e-12)
    assert step.model.vectors["b"].grad is None  # the target is never pulled


def test_gradients_agree_with_finite_differences(make_step, rng):
    step = make_step(*(torch.randn(3, 4, generator=rng, dtype=torch.float64) for _ in range(2)))
    term = CosineRegression(online="a", target="b")

    def loss(_):
        step._memo.clear()
        return term(step)["loss"]

    assert torch.autograd.gradcheck(loss, (step.model.vectors["a"],))


def test_every_row_counts_for_itself(make_step, rng):
    """Gradients of a row are the same in any split of the batch, so accumulation over micro-batches is exact."""
    a, b = torch.randn(6, 4, generator=rng, dtype=torch.float64), torch.randn(6, 4, generator=rng, dtype=torch.float64)

    def gradient(rows: slice) -> torch.Tensor:
        step = make_step(a[rows], b[rows])
        CosineRegression(online="a", target="b")(step)["loss"].backward()
        return step.model.vectors["a"].grad * len(a[rows])

    parts = torch.cat([gradient(slice(0, 1)), gradient(slice(1, 4)), gradient(slice(4, 6))])
    torch.testing.assert_close(parts, gradient(slice(0, 6)), rtol=0, atol=1e-12)


def test_spread_tells_a_full_sphere_from_a_collapse(make_step, rng):
    term = CosineRegression(online="a", target="b")
    full = torch.randn(500, 16, generator=rng)
    assert term(make_step(full, full))["spread"].item() == pytest.approx(1, abs=0.05)
    one = torch.ones(500, 16)
    assert term(make_step(one, one))["spread"].item() == pytest.approx(0, abs=1e-6)


def test_rows_without_both_modalities_count_for_nothing(make_batch, two_towers, rng):
    a, b, has_b = torch.randn(4, 6, generator=rng), torch.randn(2, 6, generator=rng), torch.tensor([0, 1, 1, 0]).bool()
    term = CosineRegression(online="a", target="b")
    some = term(step_of(two_towers, make_batch(a, b, None, has_b), rng))
    torch.testing.assert_close(some["loss"], term(step_of(two_towers, make_batch(a[1:3], b), rng))["loss"])
    none = term(step_of(two_towers, make_batch(a, b[:0], None, torch.zeros(4).bool()), rng))["loss"]
    assert none == 0
    none.backward()
    assert all(p.grad is not None and not p.grad.any() for p in two_towers.parameters())


def test_half_precision_is_computed_in_float32(make_step, rng):
    a, b = torch.randn(6, 4, generator=rng).bfloat16(), torch.randn(6, 4, generator=rng).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = CosineRegression(online="a", target="b")(make_step(a, b))["loss"]
    assert loss.dtype == torch.float32
    want = (2 - 2 * torch.cosine_similarity(a.double(), b.double())).mean()
    assert loss.item() == pytest.approx(want.item(), abs=1e-5)


class TestSlap:
    """Two online towers with predictors against a slower copy of both."""

    @pytest.fixture
    def parts(self, two_towers, make_batch, rng):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            for m in "ab":
                two_towers.heads[f"predict_{m}"] = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
            teacher = type(two_towers)()
        q = {m: Head(modality=m, head=f"predict_{m}", of_embedding=True) for m in "ab"}
        z = {m: FromTeacher(teacher="slow", view=Embedding(modality=m)) for m in "ab"}
        batch = make_batch(*(torch.randn(5, 6, generator=rng) for _ in range(2)))
        return step_of(two_towers, batch, rng, slow=teacher), q, z, teacher

    def test_across_and_within_are_what_their_names_say(self, parts):
        """Erratum: the released step hands (q_t, q_a, z_a, z_t) to a loss declared as (q_a, q_t, z_a, z_t), so what is
        logged as multimodal is d(q_t, z_t) + d(q_a, z_a). Terms here are told apart by their views."""
        step, q, z, teacher = parts
        terms = [CosineRegression(online=q[m], target=z[n]) for m, n in ("ab", "ba", "aa", "bb")]
        total, logs = Objective(terms=terms, weights=[0.25] * 4)(step)

        def d(m: str, n: str) -> float:
            online = step.model.heads[f"predict_{m}"](step.embedding(m))
            slow = teacher.project(n, teacher.encode(n, step.input(n)))
            return (2 - 2 * torch.cosine_similarity(online, slow)).mean().item()

        for m, n in ("ab", "ba", "aa", "bb"):
            assert logs[f"{m}-to-{n}/loss"].item() == pytest.approx(d(m, n), abs=1e-6)
        assert abs(d("a", "b") + d("b", "a") - d("a", "a") - d("b", "b")) > 0.05  # a swap would show
        assert total.item() == pytest.approx(sum(d(m, n) for m, n in ("ab", "ba", "aa", "bb")) / 4, abs=1e-6)

    def test_the_teacher_takes_no_gradient(self, parts):
        step, q, z, teacher = parts
        CosineRegression(online=q["a"], target=z["b"])(step)["loss"].backward()
        assert all(p.grad is None for p in teacher.parameters())
        assert step.model.heads["predict_a"][0].weight.grad.abs().max() > 0


def test_widths_that_differ_are_named(make_step):
    with pytest.raises(ConfigError, match=r"term 'a-to-b': the online view has shape \(3, 4\), the target \(3, 5\)"):
        CosineRegression(online="a", target="b")(make_step(torch.ones(3, 4), torch.ones(3, 5)))
