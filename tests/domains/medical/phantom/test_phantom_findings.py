"""Each fact of a finding is true of the volume: where it is, how large, how dense."""

import numpy as np
import pytest
from scipy import ndimage

from domains.medical.phantom import LABELS, LESIONS, ORGANS, simulate
from domains.medical.phantom.anatomy import Anatomy

SEEDS = (1, 2)
LUNG_LABELS = ("Lung nodule", "Lung mass", "Consolidation", "Lung opacity", "Atelectasis")
LOCAL = (  # findings that change nothing but their own place
    "Lung nodule",
    "Lymphadenopathy",
    "Coronary artery wall calcification",
    "Arterial wall calcification",
    "Hiatal hernia",
)
HU_RANGE = {
    "Consolidation": (-200, 80),
    "Lung mass": (0, 60),
    "Atelectasis": (-350, 80),
    "Pleural effusion": (-40, 40),
    "Pneumothorax": (-1030, -930),
    "Emphysema": (-1000, -900),
    "Lymphadenopathy": (0, 70),
    "Pericardial effusion": (-40, 45),
    "Lung opacity": (-720, -300),
    "Coronary artery wall calcification": (100, 1200),
    "Arterial wall calcification": (100, 1200),
}


@pytest.fixture(scope="module")
def forced():
    """A study with one finding forced, made once."""
    made = {}

    def get(label, seed):
        if (label, seed) not in made:
            made[label, seed] = simulate(seed, findings=(label,))
        return made[label, seed]

    return get


@pytest.fixture(scope="module")
def plain():
    return {seed: simulate(seed, findings=()) for seed in SEEDS}


def mask_of(study, label):
    return study.lesions == LESIONS[label]


def centroid(study, mask):
    index = np.array([v.mean() for v in np.nonzero(mask)])
    return study.affine[:3, :3] @ index + study.affine[:3, 3]


def depth_mm(mask, spacing, axis=1):
    return mask.sum(axis=axis).max() * spacing[axis]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_finding_is_labelled_and_marked(forced, label, seed):
    study = forced(label, seed)
    assert study.labels == {name: int(name == label) for name in LABELS}
    assert {f.label for f in study.findings} == {label}
    if label != "Cardiomegaly":
        assert mask_of(study, label).any()
    assert set(np.unique(study.lesions)) <= {0, LESIONS[label]}


@pytest.mark.parametrize("label", [name for name in LABELS if name != "Cardiomegaly"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_mask_lies_on_the_stated_side(forced, label, seed):
    study = forced(label, seed)
    sides = {f.side for f in study.findings}
    x = (np.nonzero(mask_of(study, label))[0] * study.spacing[0] + study.affine[0, 3]) - study.body.shift_mm[0]
    if sides == {"right"} and label != "Medical material":  # a catheter from the right ends near the midline
        assert x.mean() > 0
    if sides == {"left"} and label != "Medical material":
        assert x.mean() < 0
    if sides >= {"right", "left"} or sides == {"bilateral"}:
        assert x.min() < 0 < x.max()


@pytest.mark.parametrize("label", LUNG_LABELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_place_lies_in_the_stated_lobe(forced, label, seed):
    study = forced(label, seed)
    anatomy = Anatomy(study.body)
    c, s = np.cos(study.body.rotation), np.sin(study.body.rotation)
    for finding in study.findings:
        if finding.side == "bilateral" or not finding.lobe:
            continue
        x, y, z = np.asarray(finding.center_mm) - study.body.shift_mm
        at = tuple(np.float32([v]) for v in (c * x + s * y, c * y - s * x, z))
        assert (at[0] > 0) == (finding.side == "right")
        assert anatomy.lobe(finding.side, *at) == {"upper": 0, "middle": 1, "lower": 2}[finding.lobe]
        index = np.rint((np.asarray(finding.center_mm) - study.affine[:3, 3]) / study.spacing).astype(int)
        around = tuple(slice(i - 2, i + 3) for i in index)
        assert mask_of(study, label)[around].any()


@pytest.mark.parametrize("label", sorted(HU_RANGE))
@pytest.mark.parametrize("seed", SEEDS)
def test_the_mask_has_the_density_of_the_finding(forced, label, seed):
    study = forced(label, seed)
    low, high = HU_RANGE[label]
    assert low < np.median(study.ct[mask_of(study, label)]) < high


@pytest.mark.parametrize("label", LOCAL)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_else_changes(forced, plain, label, seed):
    study = forced(label, seed)
    near = ndimage.binary_dilation(mask_of(study, label), iterations=4)
    assert np.array_equal(study.ct[~near], plain[seed].ct[~near])
    assert not np.array_equal(study.ct[near], plain[seed].ct[near])


@pytest.mark.parametrize("seed", range(20, 28))
def test_a_nodule_has_the_volume_of_its_diameter(seed):
    """Drawn HU above the lung, as a share of the nodule's contrast, adds up to the volume of its ellipsoid."""
    study, without = simulate(seed, findings=("Lung nodule",)), simulate(seed, findings=())
    biggest = study.findings[0]
    if biggest.detail != "solid" or biggest.size_mm < 5:
        pytest.skip("not a solid nodule")
    index = np.rint((np.asarray(biggest.center_mm) - study.affine[:3, 3]) / study.spacing).astype(int)
    reach = np.ceil(biggest.size_mm * 0.75 / np.asarray(study.spacing)).astype(int) + 1
    box = tuple(slice(max(i - r, 0), i + r + 1) for i, r in zip(index, reach))
    gain = (study.ct[box].astype(float) - without.ct[box]) / (35.0 - np.median(without.ct[box]))
    volume = gain.sum() * np.prod(study.spacing)
    sphere = np.pi / 6 * biggest.size_mm**3
    assert 0.5 * sphere < volume < 1.2 * sphere  # axes are 0.82 to 1 of the diameter; vessels inside add nothing


@pytest.mark.parametrize("seed", range(4))
def test_a_mass_is_as_long_as_stated(seed):
    study = simulate(seed, findings=("Lung mass",))
    mask = mask_of(study, "Lung mass")
    volume = mask.sum() * np.prod(study.spacing)
    size = study.findings[0].size_mm
    assert 30 < size < 70
    assert 0.45 < volume / (np.pi / 6 * size**3) < 1.15


@pytest.mark.parametrize("label", ["Pleural effusion", "Pneumothorax"])
@pytest.mark.parametrize("seed", range(4))
def test_fluid_and_air_are_as_deep_as_stated(label, seed):
    study = simulate(seed, findings=(label,))
    x = np.arange(study.ct.shape[0]) * study.spacing[0] + study.affine[0, 3] - study.body.shift_mm[0]
    y = np.arange(study.ct.shape[1]) * study.spacing[1]
    for finding in study.findings:
        mask = mask_of(study, label) & ((x > 0) == (finding.side == "right"))[:, None, None]
        if label == "Pneumothorax":  # along y in front of the lung; over the apex the whole lung may be gone
            mask[:, :, study.ct.shape[2] // 2 :] = False
            mask[(np.abs(x) < 25) | (np.abs(x) > 65)] = False  # beside the wall a line along y stays in the rim
        assert depth_mm(mask, study.spacing) == pytest.approx(finding.size_mm, abs=6 + 0.25 * finding.size_mm)
        lungs = np.isin(study.organs, (ORGANS["right lung"], ORGANS["left lung"]))
        mean_y, lung_y = (y[np.nonzero(m)[1]].mean() for m in (mask, lungs))
        assert (mean_y < lung_y) == (label == "Pleural effusion")  # fluid behind, air in front


def test_larger_severity_means_more_of_it():
    volumes = {}
    for seed in range(12):
        study = simulate(seed, findings=("Emphysema",))
        volumes.setdefault(study.findings[0].severity, []).append(mask_of(study, "Emphysema").sum())
    assert np.mean(volumes["mild"]) < np.mean(volumes["moderate"]) < np.mean(volumes["severe"])


@pytest.mark.parametrize("seed", range(3))
def test_a_fracture_changes_the_bone_of_its_rib_only(seed):
    study, whole = simulate(seed, findings=("Rib fracture",)), simulate(seed, findings=())
    near = ndimage.binary_dilation(mask_of(study, "Rib fracture"), iterations=2)
    change = np.abs(study.ct.astype(int) - whole.ct)
    assert change[near].max() > 150
    x = np.arange(study.ct.shape[0]) * study.spacing[0] + study.affine[0, 3] - study.body.shift_mm[0]
    assert change[(x < -15) if study.findings[0].side == "right" else (x > 15)].max() == 0
    assert (change > 0).mean() < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_nodes_are_larger_than_ten_millimetres_in_the_short_axis(seed):
    study = simulate(seed, findings=("Lymphadenopathy",))
    finding = study.findings[0]
    assert finding.size_mm > 10
    assert finding.detail
    volume = mask_of(study, "Lymphadenopathy").sum() * np.prod(study.spacing)
    assert volume > 0.35 * np.pi / 6 * finding.size_mm**3


def test_metal_saturates():
    details = set()
    for seed in range(8):
        study = simulate(seed, findings=("Medical material",))
        details.add(study.findings[0].detail)
        assert study.ct[mask_of(study, "Medical material")].max() > 600
    assert len(details) >= 3
