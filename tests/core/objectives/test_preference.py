"""Two-alternative forced choice by closed form and by a dense reference. Legend: B = rows, E = width."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.errors import ConfigError, DataError
from core.evaluation import two_alternative_accuracy
from core.objectives import ChoiceCE, ChoiceHinge, Step
from core.types import Batch, Encoded, ModalityInput

WHO = {"reference": "r", "first": "a", "second": "b", "label": "chosen"}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Given(nn.Module):
    """Embeddings that are parameters themselves."""

    def __init__(self, **vectors):
        super().__init__()
        self.vectors, self.reads = nn.ParameterDict(vectors), {name: name for name in vectors}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        return Encoded(pooled=self.vectors[modality])

    def project(self, modality, encoded):
        return encoded.pooled


def step_of(r, a, b, chosen, present=None):
    rows = len(chosen)
    every = torch.ones(rows, dtype=torch.bool)
    present = {name: (present or {}).get(name, every) for name in "rab"}
    vectors = dict(zip("rab", (r, a, b), strict=True))
    inputs = {name: ModalityInput(x) for name, x in vectors.items() if len(x)}
    batch = Batch([str(i) for i in range(rows)], inputs, present, labels={"chosen": torch.as_tensor(chosen).double()})
    batch.keys["sample"] = torch.arange(rows)
    model = Given(**{name: nn.Parameter(x.clone()) for name, x in vectors.items()})
    return Step(model=model, batch=batch, index=0, generator=torch.Generator())


@pytest.fixture
def triple():
    return normal(6, 4), normal(6, 4, seed=1), normal(6, 4, seed=2), [0, 1, 1, 0, 1, 0]


def dense_hinge(r, a, b, chosen, margin=0.05):
    r, a, b = (F.normalize(x, dim=1) for x in (r, a, b))
    y = torch.tensor([-1.0 if c == 0 else 1.0 for c in chosen], dtype=r.dtype)
    d = (r * a).sum(1) - (r * b).sum(1)
    return (margin + y * d).clamp(min=0).mean()  # the published sum, divided by the rows


def dense_ce(r, a, b, chosen, scale=1.0):
    r, a, b = (F.normalize(x, dim=1) for x in (r, a, b))
    logits = scale * r @ torch.cat([a, b]).T
    return F.cross_entropy(logits, torch.arange(len(r)) + len(r) * torch.tensor(chosen))


CASES = [(ChoiceHinge(**WHO), dense_hinge), (ChoiceCE(**WHO, tile=(4, 5)), dense_ce)]


@pytest.mark.parametrize(("term", "dense"), CASES, ids=["hinge", "ce"])
def test_value_and_gradient_equal_the_dense_form(term, dense, triple):
    *vectors, chosen = triple
    step = step_of(*vectors, chosen)
    loss = term(step)["loss"]
    leaves = [x.clone().requires_grad_() for x in vectors]
    expected = dense(*leaves, chosen)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for name, leaf in zip("rab", leaves, strict=True):
        torch.testing.assert_close(step.model.vectors[name].grad, leaf.grad)


def test_gradient_equals_finite_differences(triple):
    *vectors, chosen = triple
    for term, _ in CASES:
        leaf = vectors[0].clone()
        step = step_of(leaf, *vectors[1:], chosen)
        term(step)["loss"].backward()
        found, eps = step.model.vectors["r"].grad, 1e-6
        for i, j in ((0, 0), (3, 2), (5, 1)):
            moved = []
            for sign in (1, -1):
                shifted = leaf.clone()
                shifted[i, j] += sign * eps
                moved.append(term(step_of(shifted, *vectors[1:], chosen))["loss"].item())
            assert float(found[i, j]) == pytest.approx((moved[0] - moved[1]) / (2 * eps), abs=1e-7)


def test_equal_candidates_cost_the_margin_and_half_the_accuracy():
    r, a = normal(5, 3), normal(5, 3, seed=1)
    values = ChoiceHinge(**WHO, margin=0.2)(step_of(r, a, a, [0, 1, 0, 1, 1]))
    assert values["loss"].item() == pytest.approx(0.2)
    assert values["accuracy"].item() == 0.5


def test_equal_scores_cost_the_log_of_the_number_of_candidates():
    same = torch.ones(5, 3, dtype=torch.float64)
    assert ChoiceCE(**WHO)(step_of(same, same, same, [0, 1, 0, 1, 1]))["loss"].item() == pytest.approx(math.log(10))


@pytest.mark.parametrize(("term", "dense"), CASES, ids=["hinge", "ce"])
def test_swapping_candidates_and_flipping_the_label_is_no_change_and_rows_may_be_reordered(term, dense, triple):
    r, a, b, chosen = triple
    plain = term(step_of(r, a, b, chosen))
    mirrored = term(step_of(r, b, a, [1 - c for c in chosen]))
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    shuffled = term(step_of(r[order], a[order], b[order], [chosen[i] for i in order]))
    for other in (mirrored, shuffled):
        assert other["loss"].item() == pytest.approx(plain["loss"].item(), abs=1e-12)
        assert other["accuracy"].item() == plain["accuracy"].item()
    assert term(step_of(r, a, b, [1 - c for c in chosen]))["accuracy"].item() == pytest.approx(
        1 - plain["accuracy"].item()
    )


@pytest.mark.parametrize(("term", "dense"), CASES, ids=["hinge", "ce"])
def test_rows_without_an_answer_or_a_view_count_for_nothing(term, dense, triple):
    r, a, b, chosen = triple
    label = [0, 1, float("nan"), 0, 1, 0]
    has_b = torch.tensor([1, 1, 1, 1, 0, 1], dtype=torch.bool)
    kept = [0, 1, 3, 5]
    found = term(step_of(r, a, b[has_b], label, {"b": has_b}))["loss"]
    torch.testing.assert_close(found, dense(r[kept], a[kept], b[kept], [chosen[i] for i in kept]))


@pytest.mark.parametrize(("term", "dense"), CASES, ids=["hinge", "ce"])
def test_no_valid_row_is_an_exact_zero_with_a_graph(term, dense, triple):
    r, a, b, _ = triple
    none = torch.zeros(6, dtype=torch.bool)
    for step in (step_of(r, a, b, [float("nan")] * 6), step_of(r, a, b[:0], [0] * 6, {"b": none})):
        loss = term(step)["loss"]
        assert loss.item() == 0
        loss.backward()
        assert (step.model.vectors["r"].grad == 0).all()
    single = term(step_of(r[:1], a[:1], b[:1], [1]))["loss"]
    torch.testing.assert_close(single, dense(r[:1], a[:1], b[:1], [1]))


def test_bf16_embeddings_are_compared_in_float32(triple):
    *vectors, chosen = triple
    for term, dense in CASES:
        half = [x.bfloat16() for x in vectors]
        found = term(step_of(*half, chosen))["loss"]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, dense(*(x.float() for x in half), chosen), rtol=1e-5, atol=1e-6)


def test_the_mean_does_not_depend_on_the_number_of_rows(triple):
    """The published loss is a sum over the batch."""
    r, a, b, chosen = triple
    term = ChoiceHinge(**WHO)
    twice = term(step_of(r.repeat(2, 1), a.repeat(2, 1), b.repeat(2, 1), chosen * 2))["loss"].item()
    assert twice == pytest.approx(term(step_of(r, a, b, chosen))["loss"].item())


def test_term_errors(triple):
    *vectors, chosen = triple
    with pytest.raises(ConfigError, match="no label 'choosen'; did you mean 'chosen'"):
        ChoiceHinge(**{**WHO, "label": "choosen"})(step_of(*vectors, chosen))
    with pytest.raises(ConfigError, match=r"must be 0 \(first\), 1 \(second\) or nan"):
        ChoiceCE(**WHO)(step_of(*vectors, [2] * 6))
    with pytest.raises(ConfigError, match="margin is 3"):
        ChoiceHinge(**WHO, margin=3)
    with pytest.raises(ConfigError, match="scale is 0"):
        ChoiceCE(**WHO, scale=0)


def test_accuracy_is_the_share_of_agreeing_choices_and_a_collapsed_encoder_scores_one_half(triple):
    r, a, b, chosen = triple
    ur, ua, ub = (F.normalize(x, dim=1) for x in (r, a, b))
    expected = float(((((ur * ub).sum(1) - (ur * ua).sum(1)) > 0).long() == torch.tensor(chosen)).double().mean())
    assert two_alternative_accuracy(r, a, b, chosen, n_bootstrap=5).value == pytest.approx(expected)
    same = torch.ones(6, 3)
    assert two_alternative_accuracy(same, same, 2 * same, chosen, n_bootstrap=5).value == 0.5
    flipped = two_alternative_accuracy(r, a, b, [1 - c for c in chosen], n_bootstrap=5).value
    assert flipped == pytest.approx(1 - expected)


def test_random_candidates_are_chosen_half_of_the_time():
    found = two_alternative_accuracy(
        normal(2000, 8), normal(2000, 8, seed=1), normal(2000, 8, seed=2), torch.arange(2000) % 2, n_bootstrap=50
    )
    assert abs(found.value - 0.5) < 4 * 0.5 / math.sqrt(2000)
    with pytest.raises(DataError, match="one row of each per triple"):
        two_alternative_accuracy(normal(3, 2), normal(2, 2), normal(3, 2), [0, 1, 0])
    with pytest.raises(DataError, match="answers must be 0"):
        two_alternative_accuracy(normal(2, 2), normal(2, 2), normal(2, 2), [0, 2])
