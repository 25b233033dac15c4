"""Closed forms, symmetries, duplicates, missing rows and gradients of the pairwise term."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from core.errors import ConfigError
from core.objectives import (
    BatchKeys,
    Dot,
    Equality,
    FixedScale,
    LabelSmooth,
    LogScale,
    MaskedDuplicates,
    Objective,
    OneHot,
    Pair,
    ReverseKL,
    Sigmoid,
    Step,
    Temperature,
)


def pair(**settings) -> Pair:
    return Pair(rows="a", keys="b", **settings)


def loss_of(term: Pair, step) -> float:
    return term(step)["loss"].item()


@pytest.mark.parametrize("rows", [2, 5, 64])
def test_equal_embeddings_cost_the_log_of_the_number_of_pairs(make_step, rows):
    values = pair()(make_step(torch.ones(rows, 3), torch.ones(rows, 3)))
    assert values["loss"].item() == pytest.approx(math.log(rows), abs=1e-6)
    assert values["gain"].item() == pytest.approx(0, abs=1e-6)
    assert values["positive"].item() == pytest.approx(1, abs=1e-6)
    assert values["accuracy"] == 0  # ties are lost


def test_orthonormal_pairs_have_the_closed_form(make_step):
    values = pair(scale=FixedScale(temperature=0.25))(make_step(3 * torch.eye(6), 0.1 * torch.eye(6)))
    assert values["loss"].item() == pytest.approx(math.log(1 + 5 * math.exp(-4)), abs=1e-6)
    assert values["accuracy"] == 1
    assert values["scale"] == 4


@pytest.mark.parametrize("target", [None, Equality(key="text"), LabelSmooth(), MaskedDuplicates(key="text")])
def test_a_joint_permutation_of_the_rows_changes_nothing(make_step, rng, target):
    a, b, text = torch.randn(7, 4, generator=rng), torch.randn(7, 4, generator=rng), torch.tensor([0, 1, 1, 2, 3, 0, 4])
    order = torch.randperm(7, generator=rng)
    term = pair(target=target)
    here, there = make_step(a, b, text=text), make_step(a[order], b[order], text=text[order])
    assert loss_of(term, here) == pytest.approx(loss_of(term, there), abs=1e-6)


def test_swapping_the_sides_with_their_weights_changes_nothing(make_step, rng):
    a, b = torch.randn(7, 4, generator=rng), torch.randn(7, 4, generator=rng)
    for lam in (0.75, 0.5, 1.0):
        forth = loss_of(pair(directions=(lam, 1 - lam)), make_step(a, b))
        back = loss_of(pair(directions=(1 - lam, lam)), make_step(b, a))
        assert forth == pytest.approx(back, abs=1e-6)


def test_equal_directions_are_the_two_way_cross_entropy(make_step, rng):
    a, b = torch.randn(7, 4, generator=rng), torch.randn(7, 4, generator=rng)
    z = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.1
    y = torch.arange(7)
    forth, back = F.cross_entropy(z, y).item(), F.cross_entropy(z.T, y).item()
    scale = FixedScale(temperature=0.1)
    step = make_step(a, b)
    assert loss_of(pair(scale=scale), step) == pytest.approx((forth + back) / 2, abs=1e-6)
    assert loss_of(pair(scale=scale, directions=(0.75, 0.25)), step) == pytest.approx(
        0.75 * forth + 0.25 * back, abs=1e-6
    )


def test_unique_content_makes_equality_and_masking_one_hot(make_step, rng):
    a, b = torch.randn(6, 4, generator=rng), torch.randn(6, 4, generator=rng)
    step = make_step(a, b, text=torch.randperm(6, generator=rng))
    plain = loss_of(pair(), step)
    assert loss_of(pair(target=Equality(key="text")), step) == plain
    assert loss_of(pair(target=MaskedDuplicates(key="text")), step) == plain


def test_two_identical_samples_cannot_cost_less_than_the_entropy_of_their_target(make_step):
    """Rows 0 and 1 hold the same text: targets (1/2, 1/2), entropy ln 2 for two of four rows."""
    a = torch.eye(4)[[0, 0, 1, 2]]
    step = make_step(a, a, text=torch.tensor([5, 5, 6, 7]))
    scale = FixedScale(temperature=1 / 60)
    assert loss_of(pair(target=Equality(key="text"), scale=scale), step) == pytest.approx(math.log(2) / 2, abs=1e-6)
    assert loss_of(pair(target=MaskedDuplicates(key="text"), scale=scale), step) == pytest.approx(0, abs=1e-6)
    # as negatives the duplicates would cost the same ln 2 and push the two equal texts apart
    assert loss_of(pair(scale=scale), step) == pytest.approx(math.log(2) / 2, abs=1e-6)


def test_a_masked_duplicate_is_neither_attracted_nor_repelled(make_step, rng):
    a, b = torch.randn(4, 3, generator=rng), torch.randn(4, 3, generator=rng)
    step = make_step(a, b, text=torch.tensor([5, 5, 6, 7]))
    pair(target=MaskedDuplicates(key="text"), directions=(1, 0))(step)["loss"].backward()
    rows = step.model.vectors["a"].grad
    # without row 1 in the batch row 0 sees the very same columns: 0, 2, 3
    alone = make_step(a[[0, 2, 3]], b[[0, 2, 3]])
    pair(directions=(1, 0))(alone)["loss"].backward()
    torch.testing.assert_close(4 * rows[0], 3 * alone.model.vectors["a"].grad[0], rtol=0, atol=1e-6)


def test_a_row_that_lacks_a_modality_counts_for_nothing(make_batch, two_towers, rng):
    a, b = torch.randn(5, 6, generator=rng), torch.randn(4, 6, generator=rng)
    has_a, has_b = torch.tensor([1, 1, 0, 1, 1, 1]).bool(), torch.tensor([1, 0, 1, 1, 1, 0]).bool()
    a[4] = torch.nan  # row 5 has no partner: it may hold anything

    def step_of(batch):
        return Step(model=two_towers, batch=batch, index=0, generator=rng)

    with_holes = pair()(step_of(make_batch(a, b, has_a, has_b)))
    whole = pair()(step_of(make_batch(a[[0, 2, 3]], b[[0, 2, 3]])))
    for key, value in whole.items():
        torch.testing.assert_close(with_holes[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("rows_b", [0, 1])
def test_fewer_than_two_pairs_give_an_exact_zero_with_a_graph(make_batch, two_towers, rng, rows_b):
    has_b = torch.zeros(3, dtype=torch.bool)
    has_b[:rows_b] = True
    batch = make_batch(torch.randn(3, 6, generator=rng), torch.randn(rows_b, 6, generator=rng), None, has_b)
    loss = pair()(Step(model=two_towers, batch=batch, index=0, generator=rng))["loss"]
    assert loss == 0
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in two_towers.parameters())


def test_terms_share_one_clean_forward_per_modality(make_batch, two_towers, rng):
    x = torch.randn(4, 6, generator=rng)
    step = Step(model=two_towers, batch=make_batch(x, x), index=0, generator=rng)
    objective = Objective(terms=[pair(), pair(target=LabelSmooth())], weights=[2.0, 0.5])
    total, logs = objective(step)
    assert two_towers.forwards == 2
    assert total.item() == pytest.approx(2 * logs["a-b/loss"].item() + 0.5 * logs["a-b_2/loss"].item(), abs=1e-6)
    assert not logs["a-b/loss"].requires_grad


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale": Temperature(init=0.3), "directions": (0.75, 0.25)},
        {"scale": LogScale(init=3.0, bias=-1.0), "target": Equality(key="text")},
        {"scale": LogScale(init=2.0), "target": MaskedDuplicates(key="text"), "similarity": Dot()},
        {"scale": FixedScale(temperature=0.5), "target": LabelSmooth(amount=0.2)},
        {"target": OneHot(), "directions": (0, 1)},
    ],
)
def test_gradients_agree_with_finite_differences(make_step, rng, settings):
    term = pair(tile=(2, 3), **settings).double()
    text = torch.tensor([0, 1, 0, 2, 3])
    start = make_step(*(torch.randn(5, 3, generator=rng, dtype=torch.float64) for _ in range(2)), text=text)
    parameters = [p for p in (*start.model.parameters(), *term.parameters()) if p.requires_grad]

    def loss(*_):
        start._memo.clear()
        return term(start)["loss"]

    assert torch.autograd.gradcheck(loss, parameters)


def test_the_scale_is_brought_back_into_its_range_after_a_step(make_step):
    term = pair()
    with torch.no_grad():
        term.scale.log_scale.fill_(9.0)
    term.after_step(make_step(torch.eye(2), torch.eye(2)).model, 0)
    assert term.scale.value().item() == pytest.approx(100, rel=1e-6)


def test_a_nan_embedding_is_never_a_number_in_the_loss(make_step):
    a = torch.eye(4)
    a[2, 1] = torch.nan
    assert pair()(make_step(a, torch.eye(4)))["loss"].isnan()


def test_errors_name_the_key_the_modality_and_the_setting(make_step):
    step = make_step(torch.eye(3), torch.eye(3), text=torch.arange(3))
    with pytest.raises(ConfigError, match=r"term 'a-b': the batch has no key 'txt' .* did you mean 'text'"):
        pair(target=Equality(key="txt"))(step)
    with pytest.raises(ConfigError, match="no encoder reads the modality 'c'"):
        Pair(rows="a", keys="c")(step)
    with pytest.raises(ConfigError, match=r"directions are \(0, 0\)"):
        pair(directions=(0, 0))
    with pytest.raises(ConfigError, match=r"tile is \(0, 4\)"):
        pair(tile=(0, 4))
    with pytest.raises(ConfigError, match="2 terms but 1 weights"):
        Objective(terms=[pair(), pair()], weights=[1.0])


class TestSharing:
    """Terms of one step that compare the same views."""

    def test_prepared_and_laid_out_sides_are_made_once(self, make_step, rng):
        made = []

        class Counting(BatchKeys):
            def problems(self, *args):
                made.append(self)
                return super().problems(*args)

        step = make_step(*(torch.randn(5, 3, generator=rng) for _ in range(2)))
        terms = [pair(columns=Counting()), pair(columns=Counting(), divergence=Sigmoid(), scale=FixedScale())]
        objective = Objective(terms=[*terms, pair(columns=Counting(), directions=(1, 0))])
        objective(step)
        assert len(made) == 2  # the third term asks for other directions
        prepared = [key for key in step._memo if key[0] in ("rows", "keys")]
        assert len(prepared) == 2

    def test_sharing_changes_no_value_and_no_gradient(self, make_step, rng):
        a, b = torch.randn(5, 3, generator=rng), torch.randn(5, 3, generator=rng)
        terms = [pair(), pair(divergence=ReverseKL(), directions=(1, 1)), pair(similarity=Dot(), directions=(1, 0))]
        together = make_step(a, b)
        Objective(terms=terms)(together)[0].backward()
        alone = make_step(a, b)
        for term in terms:
            alone._memo.clear()
            term(alone)["loss"].backward()
        for m in "ab":
            torch.testing.assert_close(together.model.vectors[m].grad, alone.model.vectors[m].grad, rtol=0, atol=1e-6)

    def test_views_of_other_rows_are_not_mixed_up(self, make_batch, two_towers, rng):
        """The rows of a that have a partner differ from term to term; a is prepared for each."""
        x = torch.randn(4, 6, generator=rng)
        has = torch.tensor([1, 1, 1, 0]).bool()
        batch = make_batch(x, x[:3], None, has)
        step = Step(model=two_towers, batch=batch, index=0, generator=rng)
        within = Pair(rows="a", keys="a", name="within")(step)["gain"]
        across = pair()(step)["gain"]
        fresh = Step(model=two_towers, batch=batch, index=0, generator=rng)
        assert across == pair()(fresh)["gain"]
        assert (
            within
            == Pair(rows="a", keys="a", name="within")(Step(model=two_towers, batch=batch, index=0, generator=rng))[
                "gain"
            ]
        )
