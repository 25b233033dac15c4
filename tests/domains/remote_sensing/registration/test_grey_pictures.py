"""Any bands as one grey picture."""

import numpy as np
import torch

from domains.remote_sensing.registration.grey import composite, stretch

X = torch.rand(2, 3, 40, 50, generator=torch.Generator().manual_seed(0))


def test_percentiles_are_those_of_numpy_over_valid_pixels():
    valid = torch.rand(2, 40, 50, generator=torch.Generator().manual_seed(1)) < 0.7
    out = stretch(X, valid)
    values = X[1, 2][valid[1]].numpy()
    low, high = np.percentile(values, [2, 98])
    expected = np.clip((values - low) / (high - low), 0, 1)
    np.testing.assert_allclose(out[1, 2][valid[1]].numpy(), expected, atol=1e-5)
    assert (out[~valid[:, None].expand_as(out)] == 0).all()


def test_units_and_offsets_make_no_difference():
    torch.testing.assert_close(stretch(X * 10_000 + 500), stretch(X), atol=1e-3, rtol=0)


def test_a_band_without_contrast_and_a_picture_without_pixels_are_black():
    flat = X.clone()
    flat[0, 1] = 7.0
    assert (stretch(flat)[0, 1] == 0).all()
    assert (stretch(X, torch.zeros(2, 40, 50, dtype=torch.bool)) == 0).all()


def test_weights_choose_bands():
    only_second = composite(X, None, torch.tensor([[0.0, 2.0, 0.0]] * 2))
    torch.testing.assert_close(only_second, stretch(X[:, 1:2]), atol=1e-2, rtol=0)


def test_what_is_missing_may_hold_anything():
    valid = torch.ones(2, 40, 50, dtype=torch.bool)
    valid[:, :5] = False
    other = X.clone()
    other[:, :, :5] = torch.nan
    assert torch.equal(composite(other, valid), composite(X, valid))
