"""A study is a function of its seed; its healthy organs have the densities and the noise of a CT."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from core.errors import ConfigError
from domains.medical.phantom import LABELS, LESIONS, ORGANS, simulate
from domains.medical.phantom.anatomy import Anatomy
from domains.medical.phantom.cohort import HEALTHY, sample_findings
from domains.medical.phantom.facts import sample_body
from domains.medical.phantom.findings import MODELS
from domains.medical.phantom.grid import Grid
from domains.medical.phantom.render import _texture, render
from domains.medical.phantom.study import SHAPE, SPACING


@pytest.fixture(scope="module")
def healthy():
    return simulate(5, findings=())


def inner(study, organ, steps=2):
    """Voxels of an organ away from its surface."""
    return ndimage.binary_erosion(study.organs == ORGANS[organ], iterations=steps)


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not():
    a, b, c = simulate(11), simulate(np.random.SeedSequence(11)), simulate(12)
    for name in ("ct", "radiograph", "organs", "lesions"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
        assert not np.array_equal(getattr(a, name), getattr(c, name)) or name == "lesions"
    assert a.report == b.report
    assert a.findings == b.findings


def test_a_study_holds_what_it_promises(healthy):
    assert healthy.ct.shape == healthy.organs.shape == healthy.lesions.shape == SHAPE
    assert (healthy.ct.dtype, healthy.organs.dtype, healthy.lesions.dtype) == (np.int16, np.uint8, np.uint8)
    assert healthy.radiograph.shape == (256, 256)
    assert healthy.radiograph.dtype == np.uint8
    assert np.allclose(np.diag(healthy.affine)[:3], SPACING)
    assert set(healthy.labels) == set(LABELS)
    assert not any(healthy.labels.values())
    assert not healthy.lesions.any()
    assert set(np.unique(healthy.organs)) <= set(ORGANS.values())


@pytest.mark.parametrize(
    ("organ", "low", "high"),
    [
        ("right lung", -900, -690),
        ("left lung", -900, -690),
        ("heart", 40, 60),
        ("aorta", 42, 62),
        ("liver", 50, 70),
        ("spleen", 40, 60),
        ("spine", 100, 600),
    ],
)
def test_organs_have_their_density(healthy, organ, low, high):
    voxels = healthy.ct[inner(healthy, organ)]
    assert len(voxels) > 50
    assert low < np.median(voxels) < high


def test_bone_fat_and_air_have_their_density(healthy):
    ribs = healthy.ct[healthy.organs == ORGANS["ribs"]]
    assert 300 < np.percentile(ribs, 90) < 1200
    assert healthy.ct[healthy.organs == ORGANS["airways"]].min() < -950
    assert healthy.ct[0, 0].max() == healthy.ct[-1, -1].max() == -1024  # outside the scanner's field
    assert abs(np.median(healthy.ct[SHAPE[0] // 2, -3]) + 1000) < 10
    assert np.percentile(healthy.ct[healthy.organs == 0], 50) < -90


def test_fat_lies_under_the_skin():
    body = replace(
        sample_body(np.random.default_rng(1)), fat_mm=30.0, sex="male", rotation=0.0, shift_mm=(0.0, 0.0, 0.0)
    )
    anatomy, grid = Anatomy(body), Grid(SHAPE, SPACING)
    scene = render(anatomy, grid, np.random.default_rng(2))
    x, y, z = grid.coords((slice(20, 30), slice(0, 128), slice(0, 128)))
    skin = anatomy.skin(x, y, z)
    under = (skin < -8) & (skin > -18)
    assert np.allclose(scene.hu[20:30][under], -100, atol=1)


def test_lungs_lie_on_their_side_and_the_patient_right_is_positive_x(healthy):
    for organ, sign in (("right lung", 1), ("left lung", -1), ("liver", 1), ("spleen", -1)):
        x = np.nonzero(healthy.organs == ORGANS[organ])[0].mean() * SPACING[0] + healthy.affine[0, 3]
        assert x * sign > 25
    heart_x = np.nonzero(healthy.organs == ORGANS["heart"])[0].mean() * SPACING[0] + healthy.affine[0, 3]
    assert heart_x < -5


def test_the_noise_has_unit_variance_little_low_frequency_and_independent_slices():
    noise = _texture((24, 96, 96), np.random.default_rng(0))
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96)))
    low, middle = power[(f > 0) & (f < 0.04)].mean(), power[(f > 0.18) & (f < 0.26)].mean()
    assert low < 0.05 * middle  # the ramp filter: power proportional to f^2 of the gain
    neighbours = (noise[1:] * noise[:-1]).mean()
    assert abs(neighbours) < 0.02
    kurtosis = (noise**4).mean() / noise.var() ** 2
    assert kurtosis == pytest.approx(3.0, abs=0.05)  # normal


def test_the_noise_in_the_heart_is_that_of_the_habitus(healthy):
    voxels = healthy.ct[inner(healthy, "heart", 3)].astype(float)
    assert voxels.std() == pytest.approx(healthy.body.noise_hu, rel=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_five_lobes_fill_the_lungs(seed):
    anatomy = Anatomy(sample_body(np.random.default_rng(seed)))
    rng = np.random.default_rng(seed)
    for side, lobes in (("right", {0, 1, 2}), ("left", {0, 2})):
        points = anatomy.lung_points(rng, side, 3000, 0.0)
        share = np.bincount(anatomy.lobe(side, *points.T.astype(np.float32)), minlength=3) / len(points)
        assert {i for i in range(3) if share[i] > 0} == lobes
        assert all(share[i] > 0.05 for i in lobes)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_heart_is_as_wide_as_its_cardiothoracic_ratio(seed):
    for findings in ((), ("Cardiomegaly",)):
        study = simulate(seed, findings=findings)
        heart = np.nonzero((study.organs == ORGANS["heart"]).any(axis=(1, 2)))[0]
        lungs = np.isin(study.organs, (ORGANS["right lung"], ORGANS["left lung"]))
        widths = [
            np.ptp(np.nonzero(lungs[:, :, k].any(axis=1))[0]) + 1 for k in range(SHAPE[2]) if lungs[:, :, k].any()
        ]
        measured = (np.ptp(heart) + 1) / max(widths)
        assert measured == pytest.approx(study.body.ctr, abs=0.035)
        assert (study.body.ctr > 0.5) == bool(findings)


def test_prevalence_is_the_declared_one_and_causes_join_findings():
    present = np.zeros((3000, len(LABELS)))
    for i in range(len(present)):
        rng = np.random.default_rng(i)
        for finding in sample_findings(rng, sample_body(rng)):
            present[i, LABELS.index(finding.label)] = 1
    for model in MODELS:
        assert present[:, LABELS.index(model.label)].mean() == pytest.approx(model.prevalence, abs=0.03)
        assert 0.08 <= model.prevalence <= 0.30
    healthy_share = (present.sum(axis=1) == 0).mean()
    assert HEALTHY < healthy_share < 0.18
    correlation = np.corrcoef(present.T)
    pairs = [("Cardiomegaly", "Pleural effusion"), ("Consolidation", "Lung opacity"), ("Lung mass", "Lymphadenopathy")]
    for a, b in pairs:
        assert correlation[LABELS.index(a), LABELS.index(b)] > 0.08


def test_other_grids_show_the_same_patient():
    coarse, fine = (
        simulate(4, findings=(), shape=s, spacing=d) for s, d in (((64, 64, 32), (5.6, 5.6, 9.4)), (SHAPE, SPACING))
    )
    for organ in ("right lung", "heart", "liver"):
        volumes = [(s.organs == ORGANS[organ]).sum() * np.prod(s.spacing) for s in (coarse, fine)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.06)


def test_errors_name_the_fault_and_the_remedy():
    with pytest.raises(ConfigError, match=r"unknown findings \['Lung nodul'\]; valid: Medical material"):
        simulate(0, findings=("Lung nodul",))
    with pytest.raises(ConfigError, match=r"give three sizes of at least 8 voxels"):
        simulate(0, shape=(4, 128, 64))


def test_label_maps_agree():
    assert LESIONS["background"] == ORGANS["background"] == 0
    assert [LESIONS[label] for label in LABELS] == list(range(1, len(LABELS) + 1))
    assert {model.label for model in MODELS} == set(LABELS)
