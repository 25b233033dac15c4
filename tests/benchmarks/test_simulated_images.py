"""Facts of the simulated sets: what is said is drawn, every class as often, the same seed the same set."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.medical.shapes import POSITIONS, SHAPES, SIDE, pictures
from benchmarks.medical.waves import NAMES, waves


@pytest.fixture(scope="module")
def clean():
    return pictures(320, seed=3, noise=0.0)


def test_every_shape_at_every_position_equally_often(clean):
    assert np.bincount(clean.kind).tolist() == [10] * 32
    assert set(clean.shape) == set(range(8))
    assert set(clean.position) == set(range(4))


def test_sentences_name_the_shape_and_the_position_and_no_other(clean):
    for sentence, shape, position in zip(clean.sentences, clean.shape, clean.position, strict=True):
        words = set(sentence.replace(",", " ").replace(".", " ").split())
        assert [name for name in SHAPES if name in words] == [list(SHAPES)[shape]]
        assert [name for name in POSITIONS if name in sentence] == [list(POSITIONS)[position]]
    assert len(set(clean.sentences)) > 100  # 32 meanings in 6 wordings


def test_the_shape_lies_in_its_quarter(clean):
    half, edges = SIDE // 2, np.r_[0:2, SIDE - 2 : SIDE]
    corner = np.ix_(edges, edges)
    for image, position in zip(clean.images, clean.position, strict=True):
        flat = image - np.mean(image[corner])  # the background is a plane of at most 0.6
        quarters = [flat[:half, :half], flat[:half, half:], flat[half:, :half], flat[half:, half:]]
        deviation = [q.std() for q in quarters]
        assert int(np.argmax(deviation)) == position


def test_shapes_differ_in_area_as_their_formulas_say(clean):
    # radius and contrast are drawn independently of the shape: mean brightness over background orders the areas
    area = {"disk": np.pi * 0.85, "ring": np.pi * 0.7, "square": 1.6**2, "diamond": 2 * 1.1**2, "bar": 2.3 * 0.7}
    many = pictures(1280, seed=0, noise=0.0)
    names = list(SHAPES)
    mean = {n: float((many.images[many.shape == names.index(n)]).mean()) for n in area}
    # E[contrast] E[r^2] / 32^2 with contrast in U(0.5, 1) and r in U(5, 7)
    unit = 0.75 * (5**2 + 5 * 7 + 7**2) / 3 / SIDE**2
    for name, size in area.items():
        assert mean[name] == pytest.approx(size * unit, rel=0.15), name


def test_the_seed_is_the_set():
    a, b, c = pictures(40, seed=1), pictures(40, seed=1), pictures(40, seed=2)
    np.testing.assert_array_equal(a.images, b.images)
    assert a.sentences == b.sentences
    assert not np.array_equal(a.images, c.images)
    np.testing.assert_array_equal(waves(16, seed=1).images, waves(16, seed=1).images)


def test_waves_hold_little_power_above_five_cycles():
    power = np.abs(np.fft.fft2(waves(64, seed=0, noise=0.0).images)) ** 2
    cycles = np.abs(np.fft.fftfreq(SIDE, 1 / SIDE))
    high = np.hypot(cycles[:, None], cycles[None]) > 5
    assert power[:, high].sum() / power.sum() < 0.1  # what is left is the jump at the frame


def test_classes_of_waves_share_their_mean_image():
    found = waves(1600, seed=0)
    assert np.bincount(found.kind).tolist() == [200] * len(NAMES)
    means = np.stack([found.images[found.kind == k].mean(axis=0) for k in range(len(NAMES))])
    # deviation of a pixel is about 0.9, of a mean of 200 about 0.06; no pixel strays by 5 of these
    assert np.abs(means).max() < 0.32
