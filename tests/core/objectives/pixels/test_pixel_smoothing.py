"""Spatial-temporal label smoothing. Legend: V = rows, K = classes."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from core.errors import ConfigError
from core.objectives import SpatialTemporalSmoothing

DATES = ("d0", "d1", "d2", "d3")


def maps(seed=0, side=40, classes=5, low=0):
    rng = torch.Generator().manual_seed(seed)
    drawn = [torch.randint(low, classes, (2, side, side), generator=rng) for _ in DATES]
    return drawn[1], dict(zip(DATES, drawn, strict=True))


def blurred(labels, classes):
    """(V, K, H, W) of class indicators, scipy's filter with nothing outside the picture."""
    hot = np.stack([(labels.numpy() == c).astype(float) for c in range(classes)], axis=1)
    return np.stack([[gaussian_filter(m, 3, truncate=4, mode="constant") for m in row] for row in hot])


def normalised(x):
    return x / x.sum(1, keepdims=True)


def test_targets_are_the_label_the_priors_of_space_and_time_and_the_uniform_share():
    labels, dates = maps()
    space = normalised(blurred(labels, 5))
    time = normalised(sum(blurred(d, 5) for d in dates.values()))
    hot = np.stack([(labels.numpy() == c).astype(float) for c in range(5)], axis=1)
    expected = 0.8 * hot + 0.15 * (space + time) / 2 + 0.05 / 5
    found = SpatialTemporalSmoothing(masks=DATES)(labels, dates, 5)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)


def test_targets_are_probabilities_also_beside_unlabelled_pixels():
    labels, dates = maps(low=-1)
    found = SpatialTemporalSmoothing(masks=DATES)(labels, dates, 5)
    assert found.min() >= 0
    known = (labels >= 0)[:, None].expand_as(found[:, :1])
    torch.testing.assert_close(found.sum(1, keepdim=True)[known], torch.ones(int(known.sum())))


def test_a_label_that_is_constant_in_space_and_time_has_itself_as_prior():
    labels = torch.full((1, 30, 30), 2)
    found = SpatialTemporalSmoothing(masks=DATES, prior=1.0, uniform=0.0)(labels, dict.fromkeys(DATES, labels), 4)
    torch.testing.assert_close(found[:, 2], torch.ones(1, 30, 30))
    assert found[:, [0, 1, 3]].abs().max() == 0


def test_without_other_dates_the_prior_is_that_of_space():
    labels, _ = maps()
    alone = SpatialTemporalSmoothing(prior=1.0, uniform=0.0)(labels, {}, 5)
    np.testing.assert_allclose(alone.numpy(), normalised(blurred(labels, 5)), atol=2e-6)
    unlabelled = {name: torch.full_like(labels, -1) for name in DATES}
    torch.testing.assert_close(
        SpatialTemporalSmoothing(masks=DATES, prior=1.0, uniform=0.0)(labels, unlabelled, 5), alone
    )


def test_shares_that_leave_nothing_to_the_label_are_refused():
    with pytest.raises(ConfigError, match="a sum of at most 1"):
        SpatialTemporalSmoothing(prior=0.8, uniform=0.3)
