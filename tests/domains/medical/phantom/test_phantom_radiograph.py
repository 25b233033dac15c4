"""The radiograph is Beer-Lambert along the sagittal axis, in the usual display."""

import numpy as np
import pytest

from domains.medical.phantom.radiograph import (
    MU_WATER_PER_MM,
    attenuation,
    line_integral,
    radiograph,
    transmission,
)


def test_water_and_air_attenuate_as_defined():
    mu = attenuation(np.array([0.0, -1000.0, -500.0, -1024.0], np.float32))
    assert np.allclose(mu, MU_WATER_PER_MM * np.array([1.0, 0.0, 0.5, 0.0]))


def test_a_block_of_water_passes_exp_of_minus_mu_l():
    hu = np.full((6, 50, 6), -1000.0, np.float32)
    hu[:, 10:40] = 0.0  # 30 rows of 2.5 mm
    integral = line_integral(hu, 2.5)
    assert np.allclose(integral, 75.0 * MU_WATER_PER_MM, rtol=1e-5)
    assert np.allclose(transmission(integral), np.exp(-75.0 * MU_WATER_PER_MM), rtol=1e-5)


def test_two_slabs_multiply():
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1000, 0, (4, 9, 5)).astype(np.float32) for _ in range(2))
    both = transmission(line_integral(np.concatenate([a, b], axis=1), 3.0))
    assert np.allclose(both, transmission(line_integral(a, 3.0)) * transmission(line_integral(b, 3.0)), rtol=1e-4)


def test_bone_attenuates_more_than_its_number_says():
    assert attenuation(np.float32([800.0]))[0] > MU_WATER_PER_MM * 1.8


@pytest.mark.parametrize(("axis", "image_half"), [("right", "left"), ("head", "top")])
def test_patient_right_is_on_the_image_left_and_the_head_is_up(axis, image_half):
    hu = np.full((64, 32, 64), -700.0, np.float32)
    if axis == "right":
        hu[:, :, 40:52] = 40.0  # columns grow towards the patient's right
    else:
        hu[40:52] = 40.0  # slices grow towards the head
    image = radiograph(hu, (3.0, 3.0, 3.0), np.random.default_rng(0), pixels=64).astype(float)
    first, second = (image[:, :32], image[:, 32:]) if image_half == "left" else (image[:32], image[32:])
    assert first.mean() > second.mean() + 40


def test_pixels_are_square_on_an_anisotropic_grid():
    """A ball of 60 mm is as wide as it is high though slices are 5 mm and columns 2.5 mm."""
    z, y, x = np.meshgrid(
        *(np.arange(n) * d - (n - 1) / 2 * d for n, d in ((48, 5.0), (60, 2.5), (96, 2.5))), indexing="ij"
    )
    hu = np.where(x**2 + y**2 + z**2 < 30.0**2, 200.0, -900.0).astype(np.float32)
    image = radiograph(hu, (2.5, 2.5, 5.0), np.random.default_rng(0), pixels=120)
    bright = image > 128
    width, height = (np.ptp(np.nonzero(bright.any(axis=a))[0]) + 1 for a in (0, 1))
    assert width == pytest.approx(height, abs=3)
    assert width * 2.0 == pytest.approx(60.0, abs=12)  # 240 mm over 120 pixels
