"""Published formulas against independent forms: location encodings, and what MultiMAE shows and asks for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import core
from core.objectives import DirichletBudget
from core.types import ModalityInput
from domains.remote_sensing.encoders import FourierLocation, HarmonicLocation, SphericalHarmonics
from domains.remote_sensing.encoders.harmonics import SCALE, equal_earth

PLACES = np.random.default_rng(0).uniform([-180, -90], [180, 90], (64, 2))


def test_harmonics_of_satclip_are_those_of_scipy_without_the_condon_shortley_sign():
    special = pytest.importorskip("scipy.special")
    phi, theta = np.deg2rad(PLACES[:, 0] + 180), np.deg2rad(PLACES[:, 1] + 90)
    found = SphericalHarmonics(degrees=10)(torch.from_numpy(PLACES)).numpy()
    column = 0
    for degree in range(10):
        for order in range(-degree, degree + 1):
            m = abs(order)
            complex_ = (
                special.sph_harm_y(degree, m, theta, phi)
                if hasattr(special, "sph_harm_y")
                else special.sph_harm(m, degree, phi, theta)
            )
            part = complex_.imag if order < 0 else complex_.real
            expected = part if order == 0 else (-1) ** m * math.sqrt(2) * part
            np.testing.assert_allclose(found[:, column], expected, atol=1e-12)
            column += 1
    assert column == found.shape[1] == 100


def test_satclip_is_harmonics_through_two_sine_layers():
    """sin(30 (W1 y + b1)), sin(W2 h + b2), W3 h + b3, in numpy."""
    torch.manual_seed(0)
    encoder = HarmonicLocation(width=6, degrees=4, hidden=8).eval()
    h = SphericalHarmonics(degrees=4)(torch.from_numpy(PLACES)).numpy()
    for i, layer in enumerate(encoder.layers):
        h = h @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        h = np.sin(30 * h) if i == 0 else np.sin(h) if i == 1 else h
    found = encoder(ModalityInput(torch.from_numpy(PLACES))).pooled.detach().numpy()
    np.testing.assert_allclose(found, h, atol=2e-5)


def test_equal_earth_has_its_published_edges():
    """Savric et al. 2018: the equator is 2.05 times as long as the central meridian, the poles 0.59 of the equator."""
    edge = equal_earth(torch.tensor([[180.0, 0.0], [0.0, 90.0], [180.0, 90.0], [-180.0, 0.0]])).numpy()
    assert edge[0, 0] / edge[1, 1] == pytest.approx(2.05, abs=0.01)
    assert edge[2, 0] / edge[0, 0] == pytest.approx(0.59, abs=0.005)
    assert edge[3, 0] == -edge[0, 0]
    assert edge[0, 1] == edge[1, 0] == 0


def test_geoclip_is_the_sum_of_its_scales():
    """[cos, sin](2 pi B v) of the scaled projection through the layers of each scale, added up; in numpy."""
    torch.manual_seed(0)
    encoder = FourierLocation(width=6, hidden=8, frequencies=16).eval()
    v_V2 = (equal_earth(torch.from_numpy(PLACES)) * SCALE).numpy()
    total = np.zeros((len(v_V2), 6))
    for scale, network in zip(encoder.scales, encoder.networks, strict=True):
        angle = 2 * np.pi * v_V2 @ scale.frequencies.double().numpy().T
        h = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
        for k, layer in enumerate(linear):
            h = h @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
            h = np.maximum(h, 0) if k + 1 < len(linear) else h
        total += h
    assert len(encoder.scales) == 3
    found = encoder(ModalityInput(torch.from_numpy(PLACES))).pooled.detach().numpy()
    np.testing.assert_allclose(found, total, atol=1e-3)


@pytest.mark.parametrize("system", ["multimae", "multimae_bands"])
def test_the_packaged_systems_show_a_sixth_of_the_patches(system):
    path = Path(core.__file__).parents[1] / "configs" / "remote_sensing" / "pretrain" / f"{system}.yaml"
    tree = yaml.safe_load(path.read_text())
    tasks = tree["objectives"][0]["init_args"]["tasks"]
    patches = {name: math.prod(task["init_args"]["grid"]) for name, task in tasks.items()}
    visible = tree["objectives"][0]["init_args"]["budget"]["init_args"]["visible"]
    assert visible == math.ceil(sum(patches.values()) / 6)  # 98 of 588 in the paper
    real = {name: torch.ones(50, count, dtype=torch.bool) for name, count in patches.items()}
    drawn = DirichletBudget(visible=visible).draw(real, generator=torch.Generator().manual_seed(0))
    shown = sum(drawn[name].real.sum(1) for name in patches)
    assert (shown == visible).all()
    hidden = sum(patches.values()) - shown
    assert (hidden == sum(patches.values()) - visible).all()
