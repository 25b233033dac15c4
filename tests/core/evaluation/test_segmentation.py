"""Segmentation figures by closed form and brute force. Axis order (S, H, W)."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from core.errors import ConfigError, DataError
from core.evaluation.segmentation import segmentation_case, segmentation_protocol, surface_distances
from core.evaluation.segmentation_summary import summarise_segmentation

CLASSES = {"box": 1}


def cube(shift=(0, 0, 0), side=6, shape=(20, 20, 20)):
    out = np.zeros(shape, dtype=np.int64)
    s, h, w = (4 + k for k in shift)
    out[s : s + side, h : h + side, w : w + side] = 1
    return out


def score(p, g, **options):
    options = {"classes": CLASSES, "spacing": (1.0, 1.0, 1.0)} | options
    return segmentation_case(p, g, **options)["box"]


def test_a_perfect_mask():
    found = score(cube(), cube())
    assert (found.dice, found.hd95, found.nsd, found.outcome) == (1, 0, 1, "both")


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_cube_shifted_along_one_axis(k):
    found = score(cube(), cube((0, 0, k)), spacing=(3.0, 2.0, 0.5), tolerance=0.5 * k)
    assert found.dice == pytest.approx((6 - k) / 6)  # overlap 6 * 6 * (6 - k)
    assert found.hd95 == pytest.approx(0.5 * k)  # the leading face is over 5% of the boundary
    assert found.nsd == 1.0


def test_spacing_scales_distances_and_not_dice():
    fine = score(cube(), cube((2, 0, 0)), spacing=(1, 1, 1), tolerance=0.5)
    coarse = score(cube(), cube((2, 0, 0)), spacing=(4, 4, 4), tolerance=2.0)
    assert coarse.hd95 == 4 * fine.hd95
    assert (coarse.dice, coarse.nsd) == (fine.dice, fine.nsd)


def test_concentric_spheres_are_as_far_apart_as_their_radii():
    grid = np.stack(np.meshgrid(*[np.arange(-20, 21)] * 3, indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    found = score((radius <= 15).astype(int), (radius <= 10).astype(int), tolerance=6.0)
    assert found.hd95 == pytest.approx(5, abs=0.75)  # within a voxel's half diagonal
    assert found.nsd == 1
    assert found.dice == pytest.approx(2 * 1000 / (3375 + 1000), abs=0.01)


def brute(p, g, spacing):
    """Every pair of boundary voxels, found by looking at the six neighbours."""

    def edge(mask):
        padded = np.pad(mask, 1)
        points = []
        for point in np.argwhere(padded):
            steps = [s * e for e in np.eye(3, dtype=int) for s in (1, -1)]
            if not all(padded[tuple(point + step)] for step in steps):
                points.append((point - 1) * np.asarray(spacing))
        return np.array(points)

    a, b = edge(p), edge(g)
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    return distance.min(axis=1), distance.min(axis=0)


@pytest.mark.parametrize("seed", range(6))
def test_random_masks_equal_brute_force(seed):
    rng = np.random.default_rng(seed)
    p, g = (rng.random((6, 7, 5)) < 0.3 for _ in range(2))
    spacing = (2.5, 1.0, 0.7)
    for fast, slow in zip(surface_distances(p, g, spacing=spacing), brute(p, g, spacing)):
        np.testing.assert_allclose(np.sort(fast), np.sort(slow), atol=1e-9)


@pytest.mark.parametrize(
    ("policy", "absent", "invented"), [("nan-skip", np.nan, np.nan), ("both-empty=1", 1, 0), ("fp=0", np.nan, 0)]
)
def test_the_empty_mask_policy(policy, absent, invented):
    nothing, box = np.zeros((20, 20, 20), dtype=int), cube()
    both, fp, missed = (score(p, g, empty=policy) for p, g in ((nothing, nothing), (box, nothing), (nothing, box)))
    np.testing.assert_equal([both.dice, fp.dice, missed.dice], [absent, invented, 0])
    assert (both.outcome, fp.outcome, missed.outcome) == ("absent", "false_positive", "missed")
    assert np.isnan([both.hd95, both.nsd]).all()
    assert fp.hd95 == missed.hd95 == pytest.approx(20 * np.sqrt(3))
    assert fp.nsd == missed.nsd == 0


def test_voxels_that_nobody_labelled_do_not_count():
    target = cube()
    target[:, :, 7:] = -1
    prediction = cube()
    prediction[10:, :, 7:] = 1
    assert score(prediction, target).dice == 1


def test_flat_images_work_too():
    p, g = np.zeros((8, 8), dtype=int), np.zeros((8, 8), dtype=int)
    p[2:5, 2:5], g[2:5, 3:6] = 1, 1
    found = segmentation_case(p, g, classes=CLASSES, spacing=(1.0, 0.5), tolerance=0.5)["box"]
    assert (found.dice, found.hd95, found.nsd) == (pytest.approx(2 / 3), 0.5, 1)


def test_the_summary_counts_what_was_missed_and_skips_nan():
    nothing, classes = np.zeros((20, 20, 20), dtype=int), {"box": 1, "never": 7}
    pairs = [(cube(), cube()), (nothing, cube()), (cube(), nothing), (cube(), cube((0, 0, 3)))]
    cases = [segmentation_case(p, g, classes=classes, spacing=(1, 1, 1)) for p, g in pairs]
    protocol = segmentation_protocol(spacing_unit="mm", tolerance=2.0, empty="nan-skip")
    found = summarise_segmentation(cases, protocol=protocol, n_bootstrap=100)
    box, never = found.classes["box"], found.classes["never"]
    assert (box.dice.mean, box.dice.std, box.dice.cases) == (pytest.approx(0.5), pytest.approx(0.5), 3)
    assert (box.missed, box.false_positive, box.absent, never.absent) == (1, 1, 0, 4)
    assert np.isnan(never.dice.mean)
    assert never.dice.cases == 0
    assert found.mean_dice.value == pytest.approx(0.5)  # a class nobody has is no zero
    assert found.flat()["missed/box"] == 1
    assert found.protocol["empty_masks"].startswith("nan-skip: Dice is skipped")


@pytest.mark.slow  # importing monai takes longer than every other test here together
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_smooth_shapes_equal_monai():
    metrics = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(0)
    for _ in range(3):
        p, g = (gaussian_filter(rng.normal(size=(18, 24, 20)), 2) > 0.02 for _ in range(2))
        found = score(p.astype(int), g.astype(int), spacing=(3.0, 1.0, 0.7), tolerance=2.0)
        one_hot = [torch.from_numpy(np.stack([~m, m])[None].astype(np.float32)) for m in (p, g)]
        expected = (
            metrics.compute_dice(*one_hot, include_background=False),
            metrics.compute_hausdorff_distance(*one_hot, percentile=95, spacing=(3.0, 1.0, 0.7)),
            metrics.compute_surface_dice(*one_hot, [2.0], spacing=(3.0, 1.0, 0.7)),
        )
        np.testing.assert_allclose([found.dice, found.hd95, found.nsd], [float(v) for v in expected], atol=1e-5)


def test_errors():
    with pytest.raises(DataError, match=r"prediction is .*; resample one"):
        score(cube(), cube(shape=(21, 20, 20)))
    with pytest.raises(ConfigError, match="empty is 'zero'; valid: nan-skip, both-empty=1, fp=0"):
        score(cube(), cube(), empty="zero")
    with pytest.raises(ConfigError, match="for 3 axes"):
        score(cube(), cube(), spacing=(1.0, 1.0))
    with pytest.raises(ConfigError, match="no tolerance of at least 0 for class 'box'"):
        score(cube(), cube(), tolerance={"other": 1.0})
