"""The baseline, and pictures as another sensor might show them."""

import numpy as np
import pytest
import torch
from scipy.ndimage import fourier_shift, gaussian_filter
from skimage.registration import phase_cross_correlation

from core.errors import ConfigError
from domains.remote_sensing.registration.appearance import PSEUDO, pseudo_modality, tone
from domains.remote_sensing.registration.phase import phase_shift

ALL = np.ones((96, 96), bool)


def texture(seed=0):
    x = gaussian_filter(np.random.default_rng(seed).standard_normal((96, 96)), 2, mode="wrap")
    return ((x - x.min()) / np.ptp(x)).astype(np.float32)


def displaced(x, dx, dy):
    return np.fft.ifft2(fourier_shift(np.fft.fft2(x), (dy, dx))).real.astype(np.float32)


@pytest.mark.parametrize(("dx", "dy"), [(8, 0), (-16, 8), (3.3, -5.6)])
def test_a_shift_is_found_to_a_quarter_of_a_pixel(dx, dy):
    x = texture()
    np.testing.assert_allclose(phase_shift(x, displaced(x, dx, dy), ALL, ALL), [dx, dy], atol=0.25)


def test_inverted_contrast_and_speckle_mislead_intensities_but_not_gradients():
    x = texture()
    rng = np.random.default_rng(1)
    other = (1 - displaced(x, 7, -4)) * rng.gamma(16, 1 / 16, x.shape).astype(np.float32)
    np.testing.assert_allclose(phase_shift(x, other, ALL, ALL), [7, -4], atol=0.5)
    correlation = np.fft.ifft2(np.fft.fft2(other - other.mean()) * np.fft.fft2(x - x.mean()).conj()).real
    row, column = np.unravel_index(correlation.argmax(), correlation.shape)
    assert (row, column) != (96 - 4, 7)  # the best place of intensities is elsewhere
    wrong, _, _ = phase_cross_correlation(x, other, normalization=None)
    assert np.abs(-wrong[::-1] - [7, -4]).max() > 2


def test_pictures_without_content_have_no_shift():
    assert np.isnan(phase_shift(texture(), np.zeros((96, 96), np.float32), ALL, ALL)).all()


def test_the_edge_of_missing_ground_is_no_feature():
    x, known = texture(), ALL.copy()
    known[:, :20] = False
    hidden = np.where(known, x, 0).astype(np.float32)
    other = np.where(known, displaced(x, 5, 3), 0).astype(np.float32)
    np.testing.assert_allclose(phase_shift(hidden, other, known, known), [5, 3], atol=0.3)


@pytest.mark.parametrize("kind", PSEUDO)
def test_pseudo_modalities_are_pictures_that_follow_the_ground(kind):
    x = torch.from_numpy(texture())[None, None]
    out = pseudo_modality(x.expand(2, -1, -1, -1), [kind], torch.Generator().manual_seed(0))
    assert out.shape == (2, 1, 96, 96)
    assert out.min() >= 0
    assert out.max() <= 1
    assert out.std() > 0.05
    again = pseudo_modality(x.expand(2, -1, -1, -1), [kind], torch.Generator().manual_seed(0))
    assert torch.equal(out, again)


def test_a_tone_curve_sees_the_value_of_a_pixel_and_nothing_else():
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(256, generator=torch.Generator().manual_seed(2))
    one = tone(x, torch.Generator().manual_seed(3)).flatten()[order]
    other = tone(x.flatten()[order].view_as(x), torch.Generator().manual_seed(3)).flatten()
    assert torch.equal(one, other)


def test_unknown_kinds_are_named():
    with pytest.raises(ConfigError, match="no pseudo modality 'radra'"):
        pseudo_modality(torch.rand(1, 1, 8, 8), ["radra"], torch.Generator())
