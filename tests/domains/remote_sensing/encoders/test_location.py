"""Harmonics and projections against closed forms."""

import math

import pytest
import torch

from core.errors import DataError
from core.types import ModalityInput
from domains.remote_sensing.encoders import FourierLocation, HarmonicLocation, RandomFourier, SphericalHarmonics
from domains.remote_sensing.encoders.harmonics import equal_earth


def sphere(degrees):
    """Quadrature that is exact for products of harmonics up to `degrees`: Gauss-Legendre times even angles."""
    import numpy as np

    x, w = np.polynomial.legendre.leggauss(degrees + 2)
    n = 2 * degrees + 2
    latitude = torch.rad2deg(torch.asin(torch.tensor(x))).repeat_interleave(n)
    longitude = (torch.arange(n, dtype=torch.float64) * 360 / n - 180).repeat(len(x))
    weight = torch.tensor(w).repeat_interleave(n) * 2 * math.pi / n
    return torch.stack([longitude, latitude], dim=-1), weight


@pytest.mark.parametrize("degrees", [4, 10, 40])
def test_harmonics_are_orthonormal_on_the_sphere(degrees):
    lonlat, weight = sphere(degrees)
    y = SphericalHarmonics(degrees=degrees)(lonlat)
    gram = y.T @ (y * weight[:, None])
    torch.testing.assert_close(gram, torch.eye(degrees**2, dtype=torch.float64), rtol=0, atol=1e-10)


def test_the_first_harmonics_are_their_closed_forms_in_order_and_sign():
    lonlat = torch.tensor([[12.0, 50.0], [-75.0, -33.0], [180.0, 0.0]], dtype=torch.float64)
    phi, theta = (lonlat + torch.tensor([180.0, 90.0])).deg2rad().unbind(-1)
    y = SphericalHarmonics(degrees=3)(lonlat)
    a, b = math.sqrt(3 / (4 * math.pi)), math.sqrt(15 / (16 * math.pi))
    expected = {
        0: torch.full_like(phi, math.sqrt(1 / (4 * math.pi))),
        1: a * theta.sin() * phi.sin(),  # l = 1, m = -1, no Condon-Shortley sign
        2: a * theta.cos(),
        3: a * theta.sin() * phi.cos(),
        4: b * theta.sin() ** 2 * (2 * phi).sin(),
        6: math.sqrt(5 / (16 * math.pi)) * (3 * theta.cos() ** 2 - 1),
    }
    for column, value in expected.items():
        torch.testing.assert_close(y[:, column], value)


def test_the_released_table_is_pi_times_larger_where_the_order_is_zero():
    lonlat = torch.tensor([[8.0, 47.0]], dtype=torch.float64)
    ratio = SphericalHarmonics(degrees=4, released=True)(lonlat) / SphericalHarmonics(degrees=4)(lonlat)
    zero = [degree**2 + degree for degree in range(4)]
    assert [ratio[0, i].item() for i in range(16)] == pytest.approx([math.pi if i in zero else 1.0 for i in range(16)])


def test_east_and_west_of_the_date_line_are_neighbours():
    a, b = SphericalHarmonics(degrees=6)(torch.tensor([[180.0, 10.0], [-180.0, 10.0]], dtype=torch.float64))
    torch.testing.assert_close(a, b)


def test_equal_earth_keeps_areas():
    lonlat = torch.tensor([[30.0, 0.0], [30.0, 45.0], [-120.0, 80.0]], dtype=torch.float64, requires_grad=True)
    xy = equal_earth(lonlat)
    rows = [torch.autograd.grad(xy[:, i].sum(), lonlat, retain_graph=True)[0] for i in range(2)]
    area = rows[0][:, 0] * rows[1][:, 1] - rows[0][:, 1] * rows[1][:, 0]  # per square degree
    expected = lonlat.detach()[:, 1].deg2rad().cos() * (math.pi / 180) ** 2
    torch.testing.assert_close(area, expected, rtol=1e-4, atol=0)


def test_fourier_features_are_cosines_then_sines_of_fixed_frequencies():
    torch.manual_seed(0)
    features = RandomFourier(sigma=2.0, frequencies=500)
    assert features.frequencies.std().item() == pytest.approx(2.0, rel=0.1)
    assert not list(features.parameters())
    out = features(torch.tensor([[0.0, 0.0], [0.25, 0.0]]))
    assert out[0].tolist() == [1.0] * 500 + [0.0] * 500
    torch.testing.assert_close(out[1, :500], (math.pi / 2 * features.frequencies[:, 0]).cos())


@pytest.mark.parametrize(
    "make", [lambda: HarmonicLocation(width=8, hidden=16), lambda: FourierLocation(width=8, hidden=16)]
)
def test_a_place_becomes_a_vector_with_gradients_and_a_swapped_order_is_an_error(make):
    torch.manual_seed(0)
    encoder = make()
    pooled = encoder(ModalityInput(torch.tensor([[120.0, 40.0], [121.0, 40.0]], dtype=torch.float64))).pooled
    assert pooled.shape == (2, 8)
    assert pooled.dtype == torch.float32
    pooled.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    for wrong in ([40.0, 120.0], [math.nan, 0.0]):
        with pytest.raises(DataError, match="not on the Earth"):
            encoder(ModalityInput(torch.tensor([wrong])))
