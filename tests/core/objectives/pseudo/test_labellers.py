"""Pseudo-labels against cases worked out by hand. Legend: P = points, K = classes, D = width of features."""

import math

import pytest
import torch

from core.errors import ConfigError
from core.objectives.pseudo import (
    AgreementFilter,
    Certainty,
    ClassGaussians,
    EntropyWeighting,
    GapSwitch,
    Guess,
    entropy_mixture,
)

RNG = torch.Generator().manual_seed(0)


def two(*first):
    """Rows [p, 1 - p] of two classes."""
    p = torch.tensor(first)
    return torch.stack([p, 1 - p], dim=1)


def guess(probability, feature=None):
    feature = (
        torch.zeros(len(probability), 1) if feature is None else torch.as_tensor(feature).reshape(len(probability), -1)
    )
    return Guess(probability, feature.float())


def learned(labeller, *points):
    """`points`: guesses of the whole target, in one batch."""
    labeller.begin(classes=points[0].probability_PK.shape[1], widths=[g.feature_PD.shape[1] for g in points])
    for stage in range(labeller.passes):
        labeller.observe(stage, points)
    return labeller


def random_guess(points=400, classes=4, width=3, scale=2.0):
    return Guess(
        (scale * torch.randn(points, classes, generator=RNG)).softmax(1), torch.randn(points, width, generator=RNG)
    )


def test_the_threshold_is_the_median_of_the_winning_probability_and_at_most_the_limit():
    certainty = Certainty(classes=3)
    rows = [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.01, 0.98, 0.01], [0.02, 0.96, 0.02]]
    p = torch.tensor(rows)
    certainty.observe(p[:2])
    certainty.observe(p[2:])
    # class 0 won with .5, .6, .7: median .6. Class 1 with .96, .98, cut at .9. Class 2 never won: the limit.
    torch.testing.assert_close(certainty.thresholds(), torch.tensor([0.6, 0.9, 0.9]), rtol=0, atol=1.1e-3)
    assert certainty(p).tolist() == [-1, 0, 0, 1, 1]


def test_at_least_half_of_the_answers_of_every_class_stay():
    certainty, p = Certainty(classes=4), random_guess(2001).probability_PK
    certainty.observe(p)
    kept, answer = certainty(p), p.argmax(1)
    for k in range(4):
        assert (kept == k).sum() >= (answer == k).sum() / 2
    assert bool(((kept == answer) | (kept == -1)).all())


def test_gaussians_are_those_of_each_class_and_an_empty_class_has_no_density_and_no_nan():
    x = torch.randn(50, 3, generator=RNG) * torch.tensor([1.0, 5.0, 0.1]) + 100
    label = torch.arange(50) % 3 - 1  # -1, 0, 1
    gaussians = ClassGaussians(classes=3, width=3)
    gaussians.observe(x[:20], label[:20])
    gaussians.observe(x[20:], label[20:])
    for k in (0, 1):
        own = x[label == k].double()
        normal = torch.distributions.Normal(own.mean(0), (own.var(0, unbiased=False) + 1e-6).sqrt())
        found = gaussians.log_density(x.double(), torch.full((50,), k))
        torch.testing.assert_close(found, normal.log_prob(x.double()).sum(1), rtol=1e-6, atol=1e-6)
    assert bool((gaussians.log_density(x, torch.full((50,), 2)) == -torch.inf).all())
    gaussians.observe(x, torch.full((50,), -1))  # nothing to learn
    assert gaussians.count_K.sum() == 33


def test_a_far_feature_is_told_apart_in_the_log_where_densities_underflow():
    gaussians = ClassGaussians(classes=2, width=200)
    x = torch.cat([torch.randn(30, 200, generator=RNG), torch.randn(30, 200, generator=RNG) + 3])
    gaussians.observe(x, torch.arange(60) // 30)
    far = torch.full((1, 200), 20.0)
    own, other = (gaussians.log_density(far, torch.tensor([k])) for k in (1, 0))
    assert own.exp() == other.exp() == 0  # float32
    assert bool(torch.isfinite(own) & (own > other))


def test_a_uniform_model_weighs_one_over_the_number_of_classes_and_a_sure_one_weighs_one():
    sure, uniform = torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 4), 0.25)
    # w = exp(0) = 1 and exp(-ln 4) = 1/4: p = (1 * e1 + 1/4 * uniform) / (5/4)
    expected = torch.tensor([[(1 + 0.0625) / 1.25, *[0.0625 / 1.25] * 3]])
    torch.testing.assert_close(entropy_mixture([sure, uniform]), expected)
    torch.testing.assert_close(entropy_mixture([sure, sure]), sure)
    torch.testing.assert_close(entropy_mixture([uniform, sure]), expected)


def test_agreement_keeps_what_both_are_certain_of_and_nothing_else():
    a, b = random_guess(), random_guess()
    labeller = learned(AgreementFilter(recover=False), a, b)
    found = labeller([a, b])
    for certainty, g in zip(labeller.certainty, (a, b)):
        own = certainty(g.probability_PK)
        assert bool((found[found >= 0] == own[found >= 0]).all())
    first, second = (c(g.probability_PK) for c, g in zip(labeller.certainty, (a, b)))
    assert torch.equal(found >= 0, (first == second) & (first >= 0))


@pytest.mark.parametrize("ratio", [0.5, 0.99])
def test_identical_models_keep_their_certain_answers_and_the_test_rejects_none(ratio):
    a = random_guess()
    labeller = learned(AgreementFilter(ratio=ratio), a, a)
    assert torch.equal(labeller([a, a]), labeller.certainty[0](a.probability_PK))
    assert not bool(torch.stack(labeller.rejected([a, a])).any())
    # at k = 1 both hypotheses of a point on which the models agree are equally likely: each is rejected
    assert bool(torch.stack(learned(AgreementFilter(), a, a).rejected([a, a])).all())


@pytest.mark.parametrize("make", [AgreementFilter, EntropyWeighting, GapSwitch])
def test_swapping_the_models_changes_no_label(make):
    a, b = random_guess(), random_guess(width=2)
    assert torch.equal(learned(make(), a, b)([a, b]), learned(make(), b, a)([b, a]))


def test_recovery_takes_the_answer_that_its_own_features_support():
    """Four points of each class on which both agree, features 0 +- 1 and 10 +- 1; then one disagreement."""
    p = two(0.95, 0.95, 0.95, 0.95, 0.05, 0.05, 0.05, 0.05)
    x = [-1.0, 1.0, -1.0, 1.0, 9.0, 11.0, 9.0, 11.0]
    settings = {"recover": True}
    labeller = learned(AgreementFilter(**settings), guess(p, x), guess(p, x))

    def answer(feature_a, feature_b):
        a, b = guess(two(0.8), [feature_a]), guess(two(0.3), [feature_b])  # a says 0, b says 1
        return labeller([a, b]).item()

    assert answer(0.5, 0.5) == 0  # a's features are those of class 0; b's too, so that b's own answer is rejected
    assert answer(9.5, 9.5) == 1
    assert answer(0.5, 9.5) == -1  # both are supported: nobody knows
    assert answer(9.5, 0.5) == -1  # neither is
    # by hand: at 0.5 the log ratio of the classes is (9.5^2 - 0.5^2) / (2 * 1) = 45
    own, other = (labeller.gaussians[0].log_density(torch.tensor([[0.5]]), torch.tensor([k])) for k in (0, 1))
    assert (own - other).item() == pytest.approx(45, rel=1e-4)
    assert AgreementFilter(recover=False).recover is False


def test_a_stricter_test_needs_more_evidence():
    p = two(0.95, 0.95, 0.05, 0.05)
    x = [-1.0, 1.0, 1.0, 3.0]  # means 0 and 2: at 0.9 the ratio is exp((1.1^2 - 0.9^2) / 2) = exp(0.2) = 1.22
    near = [guess(two(0.8), [0.9]), guess(two(0.3), [0.9])]
    for ratio, expected in ((1.0, 0), (0.5, -1), (0.85, 0)):
        # k = 0.5: b's own answer (ratio 0.82) is not rejected. k = 0.85: 0.82 <= 0.85, rejected
        labeller = learned(AgreementFilter(ratio=ratio), guess(p, x), guess(p, x))
        assert labeller(near).item() == expected


def test_entropy_weighting_recovers_only_where_the_models_disagree():
    p = two(0.95, 0.95, 0.95, 0.95, 0.05, 0.05, 0.05, 0.05)
    x = [-1.0, 1.0, -1.0, 1.0, 9.0, 11.0, 9.0, 11.0]
    labeller = learned(EntropyWeighting(), guess(p, x), guess(p, x))
    unsure = two(0.6)  # below the threshold of 0.9
    assert labeller([guess(unsure, [0.0]), guess(unsure, [0.0])]).item() == -1
    assert labeller([guess(unsure, [0.0]), guess(two(0.4), [0.0])]).item() == 0
    assert labeller([guess(two(0.97), [0.0]), guess(two(0.4), [9.0])]).item() in (-1, 0)


def test_a_class_without_any_kept_point_gives_no_nan_and_is_never_recovered():
    p = two(0.95, 0.95, 0.95, 0.95)  # class 1 never wins
    labeller = learned(AgreementFilter(), guess(p, [0.0, 1.0, 0.0, 1.0]), guess(p, [0.0, 1.0, 0.0, 1.0]))
    found = labeller([guess(two(0.8), [0.5]), guess(two(0.3), [0.5])])
    assert found.item() == 0  # only class 0 has features
    assert not torch.isnan(labeller.gaussians[0].log_density(torch.zeros(1, 1), torch.tensor([1]))).any()


def test_the_switch_takes_agreement_where_the_models_mostly_agree():
    same, other = two(0.9, 0.9, 0.1, 0.1), two(0.9, 0.1, 0.9, 0.1)  # half of the answers agree
    for least, chosen in ((0.5, AgreementFilter), (0.51, EntropyWeighting)):
        labeller = learned(GapSwitch(least=least), guess(same), guess(other))
        assert labeller.agreed == 0.5
        assert type(labeller.chosen) is chosen
        alone = learned(chosen(), guess(same), guess(other))
        assert torch.equal(labeller([guess(same), guess(other)]), alone([guess(same), guess(other)]))


def test_learned_state_travels_with_the_module():
    a, b = random_guess(), random_guess()
    first, second = learned(GapSwitch(), a, b), GapSwitch()
    second.begin(classes=4, widths=[3, 3])
    second.load_state_dict(first.state_dict())
    assert torch.equal(first([a, b]), second([a, b]))


def test_complementary_models_label_precisely_together_and_cover_more_with_the_test():
    """Each model is wrong half the time in its own half of the points, with an unsure answer."""
    n, classes = 4000, 3
    truth = torch.randint(0, classes, (n,), generator=RNG)
    guesses = []
    for half in (0, 1):
        bad = (torch.arange(n) % 2 == half) & (torch.rand(n, generator=RNG) < 0.5)
        said = torch.where(bad, (truth + torch.randint(1, classes, (n,), generator=RNG)) % classes, truth)
        sure = torch.where(bad, 0.4 + 0.45 * torch.rand(n, generator=RNG), 0.5 + 0.45 * torch.rand(n, generator=RNG))
        p = ((1 - sure) / (classes - 1))[:, None].repeat(1, classes).scatter(1, said[:, None], sure[:, None])
        centre = torch.nn.functional.one_hot(truth, classes).float()
        guesses.append(Guess(p, 3 * centre + torch.randn(n, classes, generator=RNG)))

    def precision(label):
        return (label[label >= 0] == truth[label >= 0]).float().mean().item()

    agreement = learned(AgreementFilter(recover=False), *guesses)
    single = [precision(c(g.probability_PK)) for c, g in zip(agreement.certainty, guesses)]
    assert precision(agreement(guesses)) > max(single)
    weighting = learned(EntropyWeighting(), *guesses)
    assert (weighting(guesses) >= 0).sum() > (agreement(guesses) >= 0).sum()
    recovered = learned(AgreementFilter(), *guesses)(guesses)
    assert (recovered >= 0).sum() > (agreement(guesses) >= 0).sum()
    assert precision(recovered) > max(single)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ConfigError, match="ratio is 0"):
        AgreementFilter(ratio=0)
    with pytest.raises(ConfigError, match="least is 2"):
        GapSwitch(least=2)
    with pytest.raises(ConfigError, match="most 0"):
        Certainty(classes=2, most=0)
    with pytest.raises(ConfigError, match="compares two models, not 3"):
        EntropyWeighting().begin(classes=2, widths=[1, 1, 1])
    assert math.isnan(GapSwitch().agreed)
