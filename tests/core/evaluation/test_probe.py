"""Probes on features whose answer is known. Legend: N = rows, D = width, L = labels."""

import numpy as np
import pytest

from core.errors import ConfigError, DataError
from core.evaluation.label_efficiency import ProbeSplit, label_efficiency, subset
from core.evaluation.probe import KNNProbe, LinearProbe


def split(rows, seed, *, signal, labels=3, width=24, groups=None):
    rng = np.random.default_rng(seed)
    y = (rng.random((rows, labels)) < 0.4).astype(float)
    x = rng.normal(size=(rows, width)).astype(np.float32)
    x[:, :labels] += signal * (2 * y - 1)
    return ProbeSplit(x, y, groups)


@pytest.mark.parametrize("probe", [LinearProbe(), KNNProbe(k=9)])
def test_separable_labels_are_learnt(probe):
    train, test = split(300, 0, signal=30.0), split(120, 1, signal=30.0)
    found = label_efficiency(probe, train, test, list("abc"), fractions=(0.2, 1.0), seeds=(0, 1, 2), n_bootstrap=50)
    assert found[1.0].macro_auroc.value == 1.0
    assert found[0.2].macro_auroc.value > 0.97
    assert len(found[0.2].per_seed) == 3
    assert len(found[1.0].per_seed) == 1


@pytest.mark.parametrize("probe", [LinearProbe(), KNNProbe()])
def test_random_features_stay_at_one_half(probe):
    train, test = split(200, 2, signal=0.0), split(300, 3, signal=0.0)
    (found,) = label_efficiency(probe, train, test, list("abc"), fractions=(1.0,), n_bootstrap=200).values()
    assert found.macro_auroc.low < 0.5 < found.macro_auroc.high


def test_more_labels_help_and_the_validation_set_chooses():
    train, test, valid = (split(n, s, signal=0.7, width=100) for n, s in ((600, 4), (400, 5), (200, 6)))
    fixed = label_efficiency(LinearProbe(c=10.0), train, test, list("abc"), n_bootstrap=20, seeds=(0, 1, 2))
    tuned = label_efficiency(LinearProbe(), train, test, list("abc"), valid=valid, n_bootstrap=20, seeds=(0, 1, 2))
    values = [tuned[f].macro_auroc.value for f in (0.01, 0.1, 1.0)]
    assert values == sorted(values)
    assert tuned[0.1].macro_auroc.value > fixed[0.1].macro_auroc.value
    assert tuned[0.1].protocol["settings_chosen_on"] == "200 validation rows"
    assert all(s["c"] in LinearProbe().c_grid for s in tuned[0.1].protocol["settings"])


def test_fewer_rows_than_features_give_the_same_scores_as_the_full_problem():
    from sklearn.linear_model import LogisticRegression

    train, test = split(12, 7, signal=1.0, labels=1, width=40), split(20, 8, signal=1.0, labels=1, width=40)
    x, t = train.features.astype(np.float64), test.features.astype(np.float64)
    ours = LinearProbe(c=0.3).scores(x, train.labels, t)[:, 0]
    mean, std = x.mean(axis=0), x.std(axis=0)
    model = LogisticRegression(C=0.3, tol=1e-8, max_iter=1000).fit((x - mean) / std, train.labels[:, 0])
    np.testing.assert_allclose(ours, model.decision_function((t - mean) / std), atol=1e-3)


def test_a_label_with_one_class_in_the_subset_counts_as_one_half_and_is_listed():
    train, test = split(50, 9, signal=30.0, labels=2), split(60, 10, signal=30.0, labels=2)
    train.labels[:, 1] = 0
    (found,) = label_efficiency(LinearProbe(), train, test, ["a", "b"], fractions=(1.0,), n_bootstrap=20).values()
    assert found.per_label == {"a": 1.0, "b": 0.5}
    assert found.macro_auroc.value == 0.75
    assert found.one_class == ("0:b",)


def test_unknown_labels_and_dead_features_do_no_harm():
    train, test = split(80, 11, signal=30.0), split(60, 12, signal=30.0)
    train.labels[::3, 0] = np.nan
    test.labels[::4, 0] = np.nan
    train.features[:, 5] = 3.0
    for probe in (LinearProbe(), KNNProbe(k=5)):
        (found,) = label_efficiency(probe, train, test, list("abc"), fractions=(1.0,), n_bootstrap=20).values()
        assert found.macro_auroc.value > 0.99


def test_knn_with_one_neighbour_copies_its_label():
    x = np.eye(3)
    y = np.array([[1.0], [0.0], [1.0]])
    np.testing.assert_array_equal(KNNProbe(k=1).scores(x, y, x), y)


def test_subsets_are_whole_groups_nested_and_independent_of_the_order():
    groups = np.array([f"p{i % 40}" for i in range(120)])
    small, large = (subset(groups, 120, fraction=f, seed=3) for f in (0.1, 0.5))
    assert len(small) == 12
    assert set(small) < set(large)
    order = np.random.default_rng(0).permutation(120)
    again = subset(groups[order], 120, fraction=0.1, seed=3)
    assert set(groups[order][again]) == set(groups[small])
    assert set(subset(groups, 120, fraction=0.1, seed=4)) != set(small)
    assert len(subset(None, 50, fraction=0.01, seed=0)) == 2
    with pytest.raises(ConfigError, match="fraction is 10"):
        subset(None, 50, fraction=10, seed=0)


def test_the_record_identifies_the_subsets():
    train, test = split(100, 0, signal=1.0), split(40, 1, signal=1.0)
    one, two = (
        label_efficiency(KNNProbe(), train, test, list("abc"), fractions=(0.1,), seeds=(0, 1), n_bootstrap=5)[0.1]
        for _ in range(2)
    )
    assert one.protocol == two.protocol
    assert len(set(one.protocol["subset_sha256"])) == 2
    assert (one.rows, one.groups, one.test_scores.shape) == (10, 10, (2, 40, 3))


def test_errors():
    good = split(20, 0, signal=1.0)
    bad = split(20, 0, signal=1.0)
    bad.features[3] = np.inf
    with pytest.raises(DataError, match="1 of 20 test rows have features that are nan or inf"):
        label_efficiency(LinearProbe(), good, bad, list("abc"))
    with pytest.raises(DataError, match=r"expected \(rows, width\) and \(rows, 2\)"):
        label_efficiency(LinearProbe(), good, good, list("ab"))
    with pytest.raises(ConfigError, match="must be above 0"):
        LinearProbe(c=0)
