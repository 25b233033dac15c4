"""Confidences, class-balanced weights and ramps of CromSS. Legend: V = rows, K = classes, n = pixels."""

import math

import pytest
import torch

from core.errors import ConfigError
from core.objectives import CrossModalSelection, EpochRamp, ModalityLogits
from core.objectives.pixels.losses import balanced_weights, certainty, entangled, label_confidence
from core.objectives.pixels.selection import at_rows

A = ModalityLogits(modality="a", head="labels")
B = ModalityLogits(modality="b", head="labels")


def selection(final=0.5, epochs=80, partner=B):
    return CrossModalSelection(partner=partner, final=final, ramp=EpochRamp(epochs=epochs))


def test_the_ramp_and_the_share_at_the_first_and_the_last_epoch():
    ramp = EpochRamp()
    assert ramp.value() == math.exp(-5)
    assert ramp.at(40) == pytest.approx(math.exp(-1.25))
    assert ramp.at(80) == ramp.at(500) == 1
    assert EpochRamp(epochs=0).value() == 1
    chosen = selection()
    assert chosen.share == pytest.approx(0.9966, abs=5e-5)
    chosen.on_epoch(80)
    assert chosen.share == 0.5


def test_the_epoch_is_part_of_the_state():
    chosen, resumed = selection(), selection()
    chosen.on_epoch(33)
    resumed.load_state_dict(chosen.state_dict())
    assert resumed.share == chosen.share != selection().share


def test_entangled_confidence_never_exceeds_the_own():
    c1, c2 = torch.rand(2, 1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixed = entangled(c1, c2)
    assert bool((mixed < c1).all())  # equality only for c2 = 1 or c1 = 0, which none is
    assert torch.equal(entangled(c1, torch.ones_like(c1)), c1)
    assert torch.equal(entangled(torch.zeros_like(c1), c2), torch.zeros_like(c1))
    assert entangled(torch.tensor(0.8), torch.tensor(0.5)).item() == pytest.approx(0.6)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_certainty_is_one_minus_normalised_entropy_and_finite_for_extreme_logits(scale):
    logits = scale * torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = 1 - torch.distributions.Categorical(logits=logits.movedim(1, -1)).entropy() / math.log(5)
    torch.testing.assert_close(certainty(logits), expected.clamp(0, 1))
    assert certainty(torch.zeros(1, 5, 1, 1)).item() == pytest.approx(0, abs=1e-6)
    assert certainty(1e4 * torch.eye(5)[:1, :, None, None]).item() == 1


def test_of_each_class_the_share_with_the_highest_confidence_has_weight_one():
    rng = torch.Generator().manual_seed(2)
    labels, confidence = torch.randint(-1, 4, (3, 20, 20), generator=rng), torch.rand(3, 20, 20, generator=rng)
    for share in (0.2, 0.5, 0.77):
        weight = balanced_weights(confidence, labels, share, 5)
        assert 0 <= weight.min() <= weight.max() <= 1
        assert bool((weight[labels < 0] == 0).all())
        for c in range(4):
            own, w = confidence[labels == c], weight[labels == c]
            kept = int(len(own) * share)
            order = own.argsort(descending=True)
            assert bool((w[order[:kept]] == 1).all())
            torch.testing.assert_close(w[order[kept:]], own[order[kept:]] / own[order[kept - 1]])
            assert int((w == 1).sum()) == kept  # no ties among these draws


def test_all_weights_are_one_at_share_one_and_where_nobody_is_confident():
    labels, confidence = torch.tensor([[[0, 1, 1, -1]]]), torch.tensor([[[0.3, 0.2, 0.9, 0.7]]])
    assert balanced_weights(confidence, labels, 1.0, 2).tolist() == [[[1, 1, 1, 0]]]
    assert balanced_weights(torch.zeros(1, 1, 4), labels, 0.9, 2).tolist() == [[[0, 1, 1, 0]]]


def test_a_class_of_which_the_share_is_no_pixel_is_left_out():
    labels, confidence = torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0.9, 0.2, 0.4]]])
    weight = balanced_weights(confidence, labels, 0.5, 2)
    torch.testing.assert_close(weight, torch.tensor([[[0.0, 0.5, 1.0]]]))


def test_selection_entangles_with_the_partner_where_a_row_has_it(drawn, given, step_of):
    maps, labels = drawn
    model = given(a=maps["a"], b=maps["b"][:2])
    step = step_of(model, {"noisy": labels}, present={"b": torch.tensor([True, False, True])})
    weight = selection(epochs=0)(step, A(step), labels)
    own = label_confidence(maps["a"], labels)
    other = torch.ones_like(own)
    other[[0, 2]] = label_confidence(maps["b"][:2], labels[[0, 2]])
    torch.testing.assert_close(weight, balanced_weights((own + own * other) / 2, labels, 0.5, 4))
    assert not weight.requires_grad


def test_a_partner_that_recorded_nothing_at_a_pixel_entangles_nothing_there(drawn, given, step_of):
    maps, labels = drawn
    blind = {"b": torch.zeros(3, 5, 6, dtype=torch.bool)}
    step = step_of(given(**maps), {"noisy": labels}, valid=blind)
    expected = balanced_weights(label_confidence(maps["a"], labels), labels, 0.5, 4)
    torch.testing.assert_close(selection(epochs=0)(step, A(step), labels), expected)


def test_modalities_on_different_grids_and_bad_shares_are_refused(given, step_of):
    model = given(a=torch.zeros(1, 2, 4, 4), b=torch.zeros(1, 2, 2, 2))
    step = step_of(model, {"noisy": torch.zeros(1, 4, 4, dtype=torch.long)})
    wide = ModalityLogits(modality="b", head="labels")
    other = wide(step)
    with pytest.raises(ConfigError, match="bring them to one grid"):
        at_rows(torch.ones(1, 2, 2), other, A(step))
    with pytest.raises(ConfigError, match="final is 0"):
        selection(final=0)
    with pytest.raises(ConfigError, match="epochs -1"):
        EpochRamp(epochs=-1)
