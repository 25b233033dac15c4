"""Budgets of MultiMAE and 4M, and span corruption with its inverse."""

from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError, DataError
from core.objectives import Component, DirichletBudget, GridCodes, KeepAll, MixtureBudget, SpanCodes
from core.objectives.tokens.budgets import dirichlet
from core.objectives.tokens.spans import at_most_spans, corrupt_spans, crop_target, join_spans, keep_within
from core.types import ModalityInput

SENTINELS = {"first_sentinel": 100, "sentinels": 30}


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shown_counts(budget: DirichletBudget, real: dict[str, torch.Tensor], seed: int = 0) -> torch.Tensor:
    return torch.stack([s.real.sum(1) for s in budget.draw(real, generator=gen(seed)).values()], dim=1)


def three(rows: int = 400) -> dict[str, torch.Tensor]:
    return {name: torch.ones(rows, 196, dtype=torch.bool) for name in ("rgb", "depth", "semseg")}


def test_dirichlet_has_its_mean_and_variance_and_survives_tiny_concentrations():
    alpha = torch.tensor([0.5, 1.0, 2.5])
    x = dirichlet(alpha.expand(40_000, 3), gen())
    torch.testing.assert_close(x.sum(1), torch.ones(40_000).double())
    mean = alpha.double() / 4
    torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=0.01)
    torch.testing.assert_close(x.var(0), mean * (1 - mean) / 5, rtol=0.05, atol=0)
    tiny = dirichlet(torch.full((5000, 3), 1e-5), gen())
    assert tiny.isfinite().all()
    assert (tiny.max(1).values > 0.999).float().mean() > 0.99
    torch.testing.assert_close((tiny > 0.5).double().mean(0), torch.full((3,), 1 / 3).double(), rtol=0, atol=0.03)
    assert not dirichlet(torch.tensor([[0.0, 1.0, 2.0]]).expand(9, 3), gen())[:, 0].any()


@pytest.mark.parametrize("subsets", [False, True])
@pytest.mark.parametrize("alpha", [1e-4, 0.3, 1.0, 1e5])
def test_exactly_98_tokens_are_visible_in_every_row(alpha, subsets):
    assert (shown_counts(DirichletBudget(alpha=alpha, subsets=subsets), three()).sum(1) == 98).all()


def test_large_concentrations_share_equally_and_small_ones_do_not():
    # round(98 / 3) = 33 of each, 99 in total, of which the ranking drops one: within one or two tokens of a third
    assert (shown_counts(DirichletBudget(alpha=1e6), three()) - 98 / 3).abs().max() < 2.5
    alone = shown_counts(DirichletBudget(alpha=1e-4), three()).max(1).values
    assert (alone >= 97).float().mean() > 0.95


def test_subsets_leave_modalities_out_and_every_subset_occurs():
    counts = shown_counts(DirichletBudget(alpha=100.0, subsets=True), three(2000))
    used = (counts > 3).long() @ torch.tensor([1, 2, 4])
    assert torch.bincount(used, minlength=8)[1:].min() > 2000 / 7 * 0.7
    assert not (used == 0).any()


def test_a_budget_beyond_a_modality_is_filled_from_the_others():
    real = {"small": torch.ones(50, 10, dtype=torch.bool), "large": torch.ones(50, 196, dtype=torch.bool)}
    counts = shown_counts(DirichletBudget(alpha={"small": 1e5, "large": 1.0}), real)
    assert (counts == torch.tensor([10, 88])).all()


def test_a_missing_modality_and_padding_show_nothing():
    real = three(6)
    real["depth"][:3] = False
    real["rgb"][:, 100:] = False
    drawn = DirichletBudget().draw(real, generator=gen())
    for name, s in drawn.items():
        assert not (s.visible & ~real[name]).any()
        assert torch.equal(s.hidden, real[name] & ~s.visible)
        assert torch.equal(s.visible.sum(1), s.real.sum(1))
        assert all(s.visible[i, s.keep[i, s.real[i]]].all() for i in range(6))
    assert not drawn["depth"].real[:3].any()
    few = {"rgb": torch.arange(196).expand(2, -1) < torch.tensor([[40], [196]])}
    assert [int(n) for n in shown_counts(DirichletBudget(), few)[:, 0]] == [40, 98]


# 4M


def limits(rows: int = 300, **sizes: int) -> dict[str, torch.Tensor]:
    return {name: torch.full((rows,), size) for name, size in sizes.items()}


def test_mixture_budgets_are_spent_and_no_more():
    budget = MixtureBudget(
        inputs=128, targets=100, components=[Component(inputs={"a": 0.5, "b": 0.5, "c": 1}, targets={"a": 1, "c": 0.2})]
    )
    counts = budget.draw(limits(a=400, b=400, c=400), grids=["a", "b", "c"], generator=gen())
    assert (counts.inputs.sum(1) == 128).all()  # nothing is capped: the remainder rule gives every token away
    assert (counts.targets.sum(1) == 100).all()
    assert not counts.targets[:, 1].any()  # not named: never a target


def test_tokens_beyond_a_modality_are_dropped_and_targets_of_a_grid_get_what_is_left():
    budget = MixtureBudget(
        inputs=128, targets=128, components=[Component(inputs={"a": 1000, "b": 1}, targets={"a": 1000, "s": 1})]
    )
    counts = budget.draw(limits(a=100, b=100, s=20), grids=["a", "b"], generator=gen())
    assert (counts.inputs[:, 0] == 100).all()
    assert (counts.inputs.sum(1) < 128).any()
    assert ((counts.inputs + counts.targets)[:, 0] <= 100).all()
    assert (counts.targets[:, 2] <= 20).all()


def test_the_remainder_goes_where_the_concentration_is():
    """With floor alone a tiny concentration would be as likely as any to get a left-over token."""
    part = Component(inputs={"a": 5, "b": 5, "c": 1e-4}, targets={"a": 1})
    budget = MixtureBudget(inputs=7, targets=7, components=[part])
    counts = budget.draw(limits(2000, a=50, b=50, c=50), grids=["a"], generator=gen())
    assert counts.inputs[:, 2].sum() <= 4
    assert (counts.inputs.sum(1) == 7).all()


def test_components_are_drawn_by_weight_and_a_row_without_their_modality_gets_nothing():
    parts = [Component(inputs={"a": 1}, targets={"a": 1}, weight=3), Component(inputs={"b": 1}, targets={"b": 1})]
    have = limits(4000, a=50, b=50)
    have["a"][:2000] = 0
    counts = MixtureBudget(inputs=5, targets=5, components=parts).draw(have, grids=["a", "b"], generator=gen())
    from_a = counts.inputs[2000:, 0] > 0
    assert from_a.float().mean() == pytest.approx(0.75, abs=0.03)
    assert not counts.inputs[:2000, 0].any()
    assert (counts.inputs[:2000].sum(1) == 0).float().mean() == pytest.approx(0.75, abs=0.03)


def test_a_component_that_names_no_modality_of_the_term_is_refused():
    budget = MixtureBudget(inputs=5, targets=5, components=[Component(inputs={"rbg": 1}, targets={"rgb": 1})])
    with pytest.raises(ConfigError, match="'rbg'; did you mean 'rgb'"):
        budget.draw(limits(rgb=5), grids=[], generator=gen())


def test_inputs_and_targets_of_a_grid_are_disjoint_and_as_many_as_asked():
    task = GridCodes(vocab_size=500, grid=(6, 6), width=8)
    ids = torch.arange(36).reshape(1, 6, 6).expand(50, 6, 6) + 3
    asked, shown_ = torch.randint(0, 10, (50,), generator=gen()), torch.randint(0, 20, (50,), generator=gen(1))
    drawn = task.draw(ModalityInput(ids), shown_, asked, gen())
    assert torch.equal(drawn.real.sum(1), shown_)
    assert torch.equal(drawn.wanted.sum(1), asked)
    for i in range(50):
        inside, outside = drawn.keep[i, drawn.real[i]].tolist(), drawn.place[i, drawn.wanted[i]].tolist()
        assert not set(inside) & set(outside)
    assert torch.equal(drawn.target[drawn.wanted], drawn.place[drawn.wanted] + 3)


# Spans


def test_the_example_of_the_module():
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    keep = torch.tensor([[True, False, True, False, False]])
    spans = corrupt_spans(ids, keep, torch.ones_like(keep), **SENTINELS)
    assert spans.input.tolist() == [[1, 100, 3, 101]]
    assert spans.target.tolist() == [[100, 2, 101, 4, 5, 102]]


def random_case(rows: int = 200, length: int = 21):
    ids = torch.randint(5, 90, (rows, length), generator=gen())
    real = torch.arange(length) < torch.randint(0, length + 1, (rows, 1), generator=gen(1))
    keep = torch.rand(rows, length, generator=gen(2)) < torch.rand(rows, 1, generator=gen(3))
    keep[0], keep[1] = True, False
    real[0] = real[1] = True
    return ids, keep, real


def test_input_and_target_interleave_to_the_original():
    ids, keep, real = random_case()
    joined, mask = join_spans(corrupt_spans(ids, keep, real, **SENTINELS), **SENTINELS)
    assert torch.equal(mask.sum(1), real.sum(1))
    assert torch.equal(joined[mask], ids[real])


def test_sentinels_count_from_the_first_and_close_the_target():
    ids, keep, real = random_case()
    spans = corrupt_spans(ids, keep, real, **SENTINELS)
    for i in range(len(ids)):
        for row, mask, extra in ((spans.input[i], spans.input_mask[i], 0), (spans.target[i], spans.target_mask[i], 1)):
            found = [t for t in row[mask].tolist() if t >= 100]
            expected = int(spans.runs[i]) + (extra if real[i].any() else 0)
            assert found == list(range(100, 100 + expected))
    assert spans.input[0][spans.input_mask[0]].tolist() == ids[0].tolist()
    assert spans.target[0][spans.target_mask[0]].tolist() == [100]  # all kept: an empty span, its closing sentinel
    assert spans.input[1][spans.input_mask[1]].tolist() == [100]


def test_too_few_sentinels_are_named_and_can_be_avoided():
    ids, keep, real = random_case()
    with pytest.raises(DataError, match="spans and there are 3 sentinels"):
        corrupt_spans(ids, keep, real, first_sentinel=100, sentinels=3)
    spans = corrupt_spans(ids, at_most_spans(keep, real, 2), real, first_sentinel=100, sentinels=3)
    assert int(spans.runs.max()) == 2


def test_an_input_shrinks_until_it_fits_its_budget():
    ids, _, real = random_case()
    budget = torch.randint(0, 12, (len(ids),), generator=gen(4))
    keep = keep_within(torch.rand(ids.shape, generator=gen(5)), real, torch.ones(len(ids)), budget)
    spans = corrupt_spans(ids, keep, real, **SENTINELS)
    length = spans.input_mask.sum(1)
    assert (length[budget > 0] <= budget[budget > 0]).all()
    assert not keep[budget == 0].any()
    assert keep.any()
    whole = keep_within(torch.rand(ids.shape, generator=gen(5)), real, torch.ones(len(ids)), torch.full((200,), 99))
    assert torch.equal(whole, real)


def test_a_long_target_starts_at_one_of_its_sentinels():
    ids, keep, real = random_case()
    spans, budget = corrupt_spans(ids, keep, real, **SENTINELS), torch.full((len(ids),), 6)
    cut = crop_target(spans, budget, **SENTINELS, draw_V=torch.rand(len(ids), generator=gen(6)))
    was, now = spans.target_mask.sum(1), cut.target_mask.sum(1)
    assert (now <= 6).all()
    assert torch.equal(cut.target[was <= 6][:, :6], spans.target[was <= 6][:, :6])
    assert (cut.target[was > 6][:, 0] >= 100).all()
    assert cut.target[was > 6][:, 0].unique().numel() > 3
    for i in (was > 6).nonzero()[:, 0].tolist():
        text = " ".join(map(str, spans.target[i][spans.target_mask[i]].tolist()))
        assert " ".join(map(str, cut.target[i][cut.target_mask[i]].tolist())) in text


def test_a_sequence_is_predicted_from_what_came_before():
    task = SpanCodes(vocab_size=140, max_length=40, width=8, **SENTINELS)
    ids, _, real = random_case()
    some = torch.full((len(ids),), 40)
    drawn = task.draw(ModalityInput(ids, real), some, some, gen(7))
    both = drawn.wanted[:, :-1] & drawn.wanted[:, 1:]
    assert torch.equal(drawn.given[:, 1:][both], drawn.target[:, :-1][both])
    assert (drawn.given[drawn.wanted[:, 0], 0] == 100).all()  # the first sentinel is told
    kept = SpanCodes(vocab_size=140, max_length=40, width=8, **SENTINELS, keep=KeepAll())
    assert not kept.draw(ModalityInput(ids, real), some, some, gen(7)).wanted.any()  # nothing hidden, nothing asked
