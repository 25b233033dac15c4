"""Identities, projections and tags: values, unknown labels, missing rows."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.errors import ConfigError
from core.objectives import IdentityCE, ProjectionCE, Step, TagBCE

NAN = float("nan")


@pytest.fixture
def step(make_step, rng) -> Step:
    """Five pairs with labels of two kinds; the identity of the last row is unknown."""
    made = make_step(*(torch.randn(5, 4, generator=rng, dtype=torch.float64) for _ in range(2)))
    made.batch.labels["identity"] = torch.tensor([0, 2, 1, 2, NAN])
    made.batch.labels["red"] = torch.tensor([0, 1, NAN, 0.5, NAN])
    made.batch.labels["hat"] = torch.tensor([1, NAN, 0, 1, NAN])
    with torch.random.fork_rng():
        torch.manual_seed(2)
        made.model.heads["id"] = nn.Linear(4, 3).double()
        made.model.heads["tag"] = nn.Linear(4, 2).double()
    return made


def no_rows(make_batch, two_towers, rng) -> Step:
    """No row holds b, no row has an identity."""
    two_towers.heads["id"] = nn.Linear(4, 3)
    batch = make_batch(torch.randn(3, 6, generator=rng), torch.zeros(0, 6), None, torch.zeros(3).bool())
    batch.labels |= {"identity": torch.full((3,), NAN), "red": torch.tensor([1.0, 0.0, 1.0])}
    return Step(model=two_towers, batch=batch, index=0, generator=rng)


class TestIdentity:
    def test_it_is_the_mean_of_the_views_over_rows_with_a_label(self, step):
        values = IdentityCE(views=["a", "b"], head="id")(step)
        y, head = torch.tensor([0, 2, 1, 2]), step.model.heads["id"]
        logits = [head(step.model.vectors[m][:4]) for m in "ab"]
        want = sum(F.cross_entropy(z, y) for z in logits) / 2
        torch.testing.assert_close(values["loss"], want, rtol=0, atol=1e-12)
        hits = sum((z.argmax(1) == y).double().mean() for z in logits) / 2
        assert values["accuracy"].item() == pytest.approx(hits.item())

    def test_an_undecided_classifier_costs_the_log_of_its_classes(self, step):
        nn.init.zeros_(step.model.heads["id"].weight)
        nn.init.zeros_(step.model.heads["id"].bias)
        assert IdentityCE(views=["a"], head="id")(step)["loss"].item() == pytest.approx(math.log(3), abs=1e-6)

    def test_no_label_is_an_exact_zero_with_a_graph(self, make_batch, two_towers, rng):
        loss = IdentityCE(views=["a", "b"], head="id")(no_rows(make_batch, two_towers, rng))["loss"]
        assert loss == 0
        loss.backward()
        assert all(p.grad is not None and not p.grad.any() for p in two_towers.parameters())

    def test_labels_outside_the_head_and_missing_names_are_named(self, step):
        step.batch.labels["identity"][0] = 7
        with pytest.raises(ConfigError, match=r"goes from 1 to 7, the head 'id' has 3 classes"):
            IdentityCE(views=["a"], head="id")(step)
        with pytest.raises(ConfigError, match="the batch has no label 'idenity'; did you mean 'identity'"):
            IdentityCE(views=["a"], head="id", label="idenity")(step)
        with pytest.raises(ConfigError, match="there is no 'di'"):
            IdentityCE(views=["a"], head="di", label="red")(step)
        with pytest.raises(ConfigError, match="no views given"):
            IdentityCE(views=[], head="id")


class TestProjection:
    def test_it_equals_the_formula(self, step):
        a, b = (step.model.vectors[m][:4] for m in "ab")
        w, y = F.normalize(step.model.heads["id"].weight, dim=1), torch.tensor([0, 2, 1, 2])
        onto_b = (a * F.normalize(b)).sum(1, keepdim=True) * F.normalize(b)
        onto_a = (b * F.normalize(a)).sum(1, keepdim=True) * F.normalize(a)
        want = F.cross_entropy(onto_b @ w.T, y) + F.cross_entropy(onto_a @ w.T, y)
        got = ProjectionCE(rows="a", keys="b", head="id")(step)["loss"]
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)

    def test_the_length_of_class_weights_does_not_matter_and_that_of_a_partner_neither(self, step):
        term = ProjectionCE(rows="a", keys="b", head="id")
        before = term(step)["loss"].item()
        with torch.no_grad():
            step.model.heads["id"].weight.mul_(torch.tensor([[1.0], [5.0], [0.1]]))
        assert term(step)["loss"].item() == pytest.approx(before, abs=1e-5)

    def test_no_pair_is_an_exact_zero(self, make_batch, two_towers, rng):
        loss = ProjectionCE(rows="a", keys="b", head="id")(no_rows(make_batch, two_towers, rng))["loss"]
        assert loss == 0
        loss.backward()


class TestTags:
    def test_known_tags_are_averaged_within_a_row_and_then_rows(self, step):
        z = step.model.heads["tag"](step.model.vectors["a"])

        def bce(row, tag, q):
            return F.binary_cross_entropy_with_logits(z[row, tag], torch.tensor(q).double())

        rows = [
            (bce(0, 0, 0.0) + bce(0, 1, 1.0)) / 2,
            bce(1, 0, 1.0),
            bce(2, 1, 0.0),
            (bce(3, 0, 0.5) + bce(3, 1, 1.0)) / 2,
        ]
        got = TagBCE(view="a", head="tag", labels=["red", "hat"])(step)["loss"]
        torch.testing.assert_close(got, sum(rows) / 4, rtol=0, atol=1e-12)
        got.backward()
        assert not step.model.vectors["a"].grad[4].any()  # nothing is known of the last row

    def test_no_row_with_the_view_is_an_exact_zero(self, make_batch, two_towers, rng):
        two_towers.heads["tag"] = nn.Linear(4, 1)
        assert TagBCE(view="b", head="tag", labels=["red"])(no_rows(make_batch, two_towers, rng))["loss"] == 0

    def test_a_head_of_another_width_is_named(self, step):
        with pytest.raises(ConfigError, match=r"term 'tags-a': 1 labels, but the head 'tag' gives 2 logits"):
            TagBCE(view="a", head="tag", labels=["red"])(step)
        with pytest.raises(ConfigError, match="no labels given"):
            TagBCE(view="a", head="tag", labels=[])
