"""Judgements of two candidates: closed forms, mirrored labels, missing rows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.errors import ConfigError
from core.objectives import Preference, Step
from core.types import ModalityInput


@pytest.fixture
def make(make_step):
    def build(r, c0, c1, label) -> Step:
        made = make_step(r, c0)
        made.model.vectors["c"] = nn.Parameter(c1.clone())
        made.model.reads["c"] = "c"
        made.batch.inputs["c"], made.batch.present["c"] = ModalityInput(c1), torch.ones(len(r), dtype=torch.bool)
        made.batch.labels["preference"] = torch.tensor(label)
        return made

    return build


def term(**settings) -> Preference:
    return Preference(reference="a", first="b", second="c", **settings)


def test_equal_candidates_cost_the_margin_and_count_as_misses(make, rng):
    r, c = torch.randn(4, 3, generator=rng), torch.randn(4, 3, generator=rng)
    values = term()(make(r, c, c, [0.0, 1.0, 0.0, 1.0]))
    assert values["loss"].item() == pytest.approx(0.05, abs=1e-6)
    assert values["accuracy"] == 0


def test_value_gradient_and_mean_over_rows(make, rng):
    r, c0, c1 = (torch.randn(5, 3, generator=rng, dtype=torch.float64) for _ in range(3))
    y = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])
    step = make(r, c0, c1, y.tolist())
    loss = term(margin=0.4)(step)["loss"]
    leaves = [x.requires_grad_() for x in (r, c0, c1)]
    d = torch.cosine_similarity(r, c0) - torch.cosine_similarity(r, c1)
    want = F.relu(0.4 - (1 - 2 * y) * d).mean()  # the mean: the released loss is a sum that grows with the batch
    torch.testing.assert_close(loss, want, rtol=0, atol=1e-12)
    loss.backward()
    for m, g in zip("abc", torch.autograd.grad(want, leaves), strict=True):
        torch.testing.assert_close(step.model.vectors[m].grad, g, rtol=0, atol=1e-12)


def test_exchanging_the_candidates_and_the_label_changes_nothing(make, rng):
    r, c0, c1 = (torch.randn(6, 3, generator=rng) for _ in range(3))
    y = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.3, 1.0])
    forth, back = term()(make(r, c0, c1, y.tolist())), term()(make(r, c1, c0, (1 - y).tolist()))
    assert forth["loss"].item() == pytest.approx(back["loss"].item(), abs=1e-6)
    assert forth["accuracy"] == back["accuracy"]


def test_a_share_of_judges_weighs_both_sides(make):
    """d = 1 for the first candidate: only those who took the second are disappointed, by margin + 1."""
    eye = torch.eye(2)
    values = term(margin=0.1)(make(eye[:1], eye[:1], eye[1:], [0.25]))
    assert values["loss"].item() == pytest.approx(0.25 * 1.1, abs=1e-6)
    assert values["accuracy"] == 1


def test_rows_without_a_judgement_or_a_candidate_count_for_nothing(make, rng):
    r, c0, c1 = (torch.randn(3, 3, generator=rng) for _ in range(3))
    whole = term()(make(r[:2], c0[:2], c1[:2], [1.0, 0.0]))["loss"]
    assert term()(make(r, c0, c1, [1.0, 0.0, float("nan")]))["loss"].item() == pytest.approx(whole.item(), abs=1e-6)
    none = make(r, c0, c1, [float("nan")] * 3)
    loss = term()(none)["loss"]
    assert loss == 0
    loss.backward()
    assert not none.model.vectors["a"].grad.any()


def test_errors_name_the_label_and_the_margin(make, rng):
    x = torch.randn(2, 3, generator=rng)
    with pytest.raises(ConfigError, match="the batch has no label 'preferred'; did you mean 'preference'"):
        term(label="preferred")(make(x, x, x, [0.0, 1.0]))
    with pytest.raises(ConfigError, match="Preference: margin is -1"):
        term(margin=-1)
