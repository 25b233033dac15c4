"""Losses over label maps: cross-entropy, Dice, weights, agreement. Legend: V = rows, K = classes."""

import pytest
import torch
import torch.nn.functional as F

from core.errors import ConfigError, DataError
from core.objectives import (
    CrossModalSelection,
    EpochRamp,
    FusedLogits,
    ModalityLogits,
    Objective,
    PixelAgreement,
    PixelLabels,
    SpatialTemporalSmoothing,
)
from core.objectives.pixels.agreement import mutual
from core.objectives.pixels.losses import certainty, weighted_ce, weighted_dice

A = {"modality": "a", "head": "labels"}
B = {"modality": "b", "head": "labels"}


def plain(**kwargs):
    return PixelLabels(view=ModalityLogits(**A), mask="noisy", **kwargs)


def cromss(epochs=0, final=0.5):
    ramp = {"epochs": epochs}
    smooth = SpatialTemporalSmoothing(masks=("noisy",), sigma=1.0)
    return [
        *(
            PixelLabels(
                view=ModalityLogits(**own), mask="noisy", smoothing=smooth,
                selection=CrossModalSelection(partner=ModalityLogits(**other), final=final, ramp=EpochRamp(**ramp)),
            )
            for own, other in ((A, B), (B, A))
        ),
        PixelAgreement(first=ModalityLogits(**A), second=ModalityLogits(**B), ramp=EpochRamp(**ramp)),
    ]  # fmt: skip


def dense(logits, labels):
    """Cross-entropy over labelled pixels + Dice by plain sums, class by class."""
    known = labels >= 0
    ce = F.cross_entropy(logits, labels, ignore_index=-1)
    total = 0.0
    for c in range(logits.shape[1]):
        p, t = logits.softmax(1)[:, c][known], (labels == c)[known]
        total += (1 - 2 * p[t].sum() / (p.sum() + t.sum())) if t.any() else 0.0
    return ce + total / logits.shape[1]


def test_share_one_without_smoothing_is_ordinary_cross_entropy_and_dice(drawn, given, step_of):
    maps, labels = drawn
    step = step_of(given(**maps), {"noisy": labels})
    everyone = CrossModalSelection(partner=ModalityLogits(**B), final=1.0)
    selected = plain(selection=everyone)(step)
    torch.testing.assert_close(selected["loss"], dense(maps["a"], labels))
    torch.testing.assert_close(selected["loss"], plain()(step)["loss"])
    assert selected["selected"] == 1


def test_the_dice_is_that_of_segmentation_models_pytorch(drawn):
    smp = pytest.importorskip("segmentation_models_pytorch")
    maps, labels = drawn
    known = labels.clamp_min(0)
    hot = F.one_hot(known, 4).movedim(-1, 1).double()
    there = torch.bincount(known.flatten(), minlength=4) > 0
    found = weighted_dice(maps["a"], hot, torch.ones(labels.shape), there)
    torch.testing.assert_close(found, smp.losses.DiceLoss("multiclass")(maps["a"], known))


def test_an_absent_class_costs_nothing_although_smoothing_puts_it_everywhere(drawn, given, step_of):
    maps, labels = drawn
    smooth = SpatialTemporalSmoothing(prior=0.0, uniform=0.2)
    found = plain(smoothing=smooth)(step_of(given(**maps), {"noisy": labels}))["dice"]
    target = torch.where(labels[:, None] == torch.arange(4)[:, None, None], 0.85, 0.05) * (labels >= 0)[:, None]
    p = maps["a"].softmax(1) * (labels >= 0)[:, None]
    per_class = 1 - 2 * (p * target).sum((0, 2, 3)) / (p + target).sum((0, 2, 3))
    assert 3 not in labels
    torch.testing.assert_close(found, per_class[:3].sum() / 4)


def test_weights_enter_both_losses():
    rng = torch.Generator().manual_seed(3)
    logits = torch.randn(1, 3, 2, 2, generator=rng, dtype=torch.float64)
    labels = torch.tensor([[[0, 1], [2, 1]]])
    target, weight = F.one_hot(labels, 3).movedim(-1, 1).double(), torch.tensor([[[1.0, 0.5], [0.0, 0.25]]])
    per_pixel = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(weighted_ce(logits, target, weight), (weight * per_pixel).sum() / 1.75)
    p, there = logits.softmax(1), torch.tensor([True, True, True])
    both = [p[0, 0, 0, 0], 0.5 * p[0, 1, 0, 1] + 0.25 * p[0, 1, 1, 1], torch.tensor(0.0)]
    size = [(weight * p[:, c]).sum() + w for c, w in enumerate((1.0, 0.75, 0.0))]
    expected = sum(1 - 2 * b / s for b, s in zip(both, size, strict=True)) / 3
    torch.testing.assert_close(weighted_dice(logits, target, weight, there), expected)


def test_gradients_are_those_of_finite_differences(drawn):
    maps, labels = drawn
    hot = F.one_hot(labels.clamp_min(0), 4).movedim(-1, 1).double()
    weight = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    there = torch.tensor([True, True, True, False])
    inp = maps["a"][:, :, :2, :2].clone().requires_grad_()
    cut = (slice(None), slice(None, 2), slice(None, 2))
    args = hot[:, :, :2, :2], weight[cut]
    assert torch.autograd.gradcheck(lambda x: weighted_ce(x, *args) + weighted_dice(x, *args, there), (inp,))


def test_agreement_is_the_sum_over_both_directions(drawn, given, step_of):
    maps, labels = drawn
    ramp = EpochRamp(epochs=10)
    ramp.on_epoch(5)
    term = PixelAgreement(first=ModalityLogits(**A), second=ModalityLogits(**B), ramp=ramp)
    loss = term(step_of(given(**maps), {"noisy": labels}))["loss"]
    p, q, g = {k: v.softmax(1) for k, v in maps.items()}, {k: certainty(v) for k, v in maps.items()}, ramp.value()
    expected = 0.0
    for student, teacher in (("a", "b"), ("b", "a")):
        v = (1 - g) + g * (q[teacher] + q[teacher] * q[student]) / 2
        ce = -(p[teacher] * p[student].log()).sum(1)
        expected += (v * ce).sum() / v.sum()
    torch.testing.assert_close(loss, expected)


def test_the_teacher_side_has_no_gradient(drawn):
    a, b = (x.clone().requires_grad_() for x in drawn[0].values())
    known = torch.ones(3, 5, 6, dtype=torch.float64)
    mutual(a, b.detach(), known, 0.7).backward()
    total = a.grad.clone()
    a.grad = None
    mutual(a, b, known, 0.7).backward()
    # The second direction, in which a teaches, adds nothing to a: both runs give a the gradient of the first one alone.
    v = 0.3 + 0.7 * (certainty(b) + certainty(b) * certainty(a)) / 2
    torch.testing.assert_close(a.grad, total)
    torch.testing.assert_close(a.grad, (v / v.sum())[:, None] * (a.detach().softmax(1) - b.detach().softmax(1)))


def test_swapping_the_modalities_leaves_the_total(drawn, given, step_of):
    maps, labels = drawn
    swapped = {"a": maps["b"], "b": maps["a"]}
    totals = [Objective(terms=cromss())(step_of(given(**m), {"noisy": labels}))[0] for m in (maps, swapped)]
    torch.testing.assert_close(*totals)


def test_a_modality_that_is_first_read_as_a_partner_is_still_trained(drawn, given, step_of):
    maps, labels = drawn
    model = given(**maps)
    Objective(terms=cromss()[:2])(step_of(model, {"noisy": labels}))[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.maps.values())


def test_extreme_logits_give_finite_losses_and_gradients(drawn, given, step_of):
    maps, labels = drawn
    model = given(**{k: (1e4 * v.sign()).float() for k, v in maps.items()})
    total, _ = Objective(terms=cromss(epochs=8))(step_of(model, {"noisy": labels}))
    total.backward()
    assert bool(total.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in model.maps.values())


@pytest.mark.parametrize("missing", ["labels", "rows", "mask", "recorded"])
def test_nothing_to_learn_from_is_an_exact_zero_with_a_graph(missing, drawn, given, step_of):
    maps, labels = drawn
    model = given(**maps)
    masks = {"other" if missing == "mask" else "noisy": torch.full_like(labels, -1) if missing == "labels" else labels}
    nobody, blind = torch.zeros(3, dtype=torch.bool), torch.zeros(3, 5, 6, dtype=torch.bool)
    step = step_of(
        model, masks, present=dict.fromkeys("ab", nobody) if missing == "rows" else None,
        valid=dict.fromkeys("ab", blind) if missing == "recorded" else None,
    )  # fmt: skip
    terms = cromss()
    total, _ = Objective(terms=terms[:2] if missing in ("labels", "mask") else terms)(step)
    total.backward()
    assert total.item() == 0
    assert all(p.grad is not None and p.grad.abs().max() == 0 for p in model.maps.values())


def test_a_single_labelled_pixel_is_learned_from(given, step_of):
    labels = torch.full((1, 2, 2), -1)
    labels[0, 1, 0] = 1
    model = given(a=torch.zeros(1, 2, 2, 2))
    loss = plain()(step_of(model, {"noisy": labels}))["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(torch.log(torch.tensor(2.0)).item() + (1 - 1 / 1.5) / 2)
    assert (model.maps["a"].grad.abs().sum(1) > 0).nonzero().tolist() == [[0, 1, 0]]


def test_pixels_that_were_not_recorded_count_for_nothing(drawn, given, step_of):
    maps, labels = drawn
    valid = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(5)) < 0.6
    model = given(**maps)
    found = plain()(step_of(model, {"noisy": labels}, valid={"a": valid}))["loss"]
    torch.testing.assert_close(found, dense(maps["a"], labels.masked_fill(~valid, -1)))


def test_auxiliary_outputs_have_a_cross_entropy_of_their_own(drawn, given, step_of):
    maps, labels = drawn
    term = PixelLabels(view=ModalityLogits(modality="a", head="more"), mask="noisy", dice=0.0, auxiliary=[0.6, 0.5])
    ce = [F.cross_entropy(f * maps["a"], labels, ignore_index=-1) for f in (1, 2, -1)]
    found = term(step_of(given(**maps), {"noisy": labels}))["loss"]
    torch.testing.assert_close(found, ce[0] + 0.6 * ce[1] + 0.5 * ce[2])


def test_bad_labels_sizes_and_factors_are_named(drawn, given, step_of):
    maps, labels = drawn
    model = given(**maps)
    with pytest.raises(DataError, match="holds class 4, the head of a has 4 classes"):
        plain()(step_of(model, {"noisy": labels + 2}))
    with pytest.raises(ConfigError, match=r"mask 'noisy' has \(2, 2\) pixels"):
        plain()(step_of(model, {"noisy": labels[:, :2, :2]}))
    with pytest.raises(ConfigError, match="1 auxiliary factors, the head of a has 0"):
        plain(auxiliary=[0.4])(step_of(model, {"noisy": labels}))
    assert Objective(terms=cromss()).masks == ("noisy",)


class Mean(torch.nn.Module):
    """Mean over modalities of their coarsest maps."""

    def forward(self, pyramids, size):
        return torch.stack([pyramid[-1] for pyramid in pyramids]).mean(0)


def test_fused_logits_see_zeros_for_a_missing_modality(drawn, given, step_of):
    maps, labels = drawn
    model = given(a=maps["a"], b=maps["b"][:1])
    model.heads["fused"] = Mean()
    step = step_of(model, {"noisy": labels}, present={"b": torch.tensor([False, True, False])})
    pixels = FusedLogits(modalities=["a", "b"], head="fused")(step)
    expected = maps["a"] / 2
    expected[1] = expected[1] + maps["b"][0] / 2
    torch.testing.assert_close(pixels.main, expected)
    assert pixels.rows.tolist() == [0, 1, 2]


def test_dropped_modalities_leave_one_and_only_touch_complete_rows(given, step_of):
    rows = 200
    model = given(a=torch.ones(rows, 1, 1, 1), b=3 * torch.ones(100, 1, 1, 1))
    model.heads["fused"] = Mean()
    present = {"b": torch.arange(rows) < 100}
    step = step_of(model, {"noisy": torch.zeros(rows, 1, 1, dtype=torch.long)}, present=present)
    seen = 2 * FusedLogits(modalities=["a", "b"], head="fused", drop=0.5)(step).main[:, 0, 0, 0]
    assert set(seen[:100].tolist()) == {1.0, 3.0, 4.0}
    assert 0.35 < float((seen[:100] < 4).float().mean()) < 0.65
    assert bool((seen[100:] == 1).all())
