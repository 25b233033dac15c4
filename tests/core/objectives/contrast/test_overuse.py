"""Penalties on overused words: closed forms and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from core.objectives import Embedding, Overuse, SquaredMeans, TotalWeight, UsageEntropy

WORDS = 8


def value(make_step, weight, penalty=None) -> float:
    return Overuse(view=Embedding(modality="a"), penalty=penalty)(make_step(weight, torch.zeros(len(weight), 1)))[
        "loss"
    ]


@pytest.mark.parametrize("penalty", [None, TotalWeight()])
def test_is_zero_only_without_any_activation(make_step, penalty):
    assert value(make_step, torch.zeros(3, WORDS), penalty) == 0
    one = torch.zeros(3, WORDS)
    one[1, 2] = 1e-3
    assert value(make_step, one, penalty) > 0


def test_one_word_in_every_sample_costs_as_many_times_the_even_use_as_there_are_words(make_step):
    total = torch.full((5, WORDS), 1 / WORDS)
    single = torch.zeros(5, WORDS)
    single[:, 3] = 1
    assert value(make_step, single).item() == pytest.approx(WORDS * value(make_step, total).item(), rel=1e-6)


def test_even_use_is_the_least_for_a_given_total(make_step, rng):
    even = value(make_step, torch.full((5, WORDS), 2.0)).item()
    for _ in range(20):
        weight = torch.rand(5, WORDS, generator=rng)
        weight = weight * (2.0 * WORDS * 5 / weight.sum())
        assert value(make_step, weight).item() >= even - 1e-5


def test_a_word_per_sample_is_cheaper_than_one_word_for_all(make_step):
    """The penalty is on the average over the batch: the same sparsity, spread over words, is not punished as much."""
    assert value(make_step, torch.eye(WORDS)).item() == pytest.approx(1 / WORDS)
    alike = torch.zeros(WORDS, WORDS)
    alike[:, 0] = 1
    assert value(make_step, alike).item() == pytest.approx(1)


def test_entropy_is_blind_to_the_total(make_step, rng):
    weight = torch.rand(5, WORDS, generator=rng)
    one, ten = (value(make_step, f * weight, UsageEntropy()).item() for f in (1, 10))
    assert one == pytest.approx(ten, abs=1e-6)
    assert value(make_step, torch.full((5, WORDS), 0.3), UsageEntropy()).item() == pytest.approx(0, abs=1e-6)
    single = torch.zeros(5, WORDS)
    single[:, 3] = 1
    assert value(make_step, single, UsageEntropy()).item() == pytest.approx(math.log(WORDS), abs=1e-6)


@pytest.mark.parametrize("penalty", [SquaredMeans(), TotalWeight(), UsageEntropy()])
def test_gradients_agree_with_finite_differences_and_stay_finite_at_zero(make_step, rng, penalty):
    weight = (torch.rand(3, 5, generator=rng, dtype=torch.float64) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: penalty(w.mean(0)), (weight,))
    step = make_step(torch.zeros(3, 5), torch.zeros(3, 1))
    Overuse(view=Embedding(modality="a"), penalty=penalty)(step)["loss"].backward()
    assert step.model.vectors["a"].grad.isfinite().all()


def test_a_batch_without_the_modality_costs_an_exact_zero(make_batch, two_towers, rng):
    from core.objectives import Step

    batch = make_batch(torch.zeros(0, 6), torch.zeros(2, 6), torch.zeros(2).bool())
    loss = Overuse(view=Embedding(modality="a"))(Step(model=two_towers, batch=batch, index=0, generator=rng))["loss"]
    assert loss == 0
    loss.backward()
    assert all(not p.grad.any() for p in two_towers.parameters())


def test_counts_active_words(make_step):
    weight = torch.zeros(4, WORDS)
    weight[0, :3] = 1
    weight[1, 0] = 1
    step = make_step(weight, torch.zeros(4, 1))
    assert Overuse(view=Embedding(modality="a"))(step)["active"].item() == 1
