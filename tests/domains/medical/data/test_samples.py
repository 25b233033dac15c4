"""The embedded dataset: built once, simulated, and read by the layout of the real one."""

import nibabel as nib
import numpy as np
import pytest

from core.data.layout import verify
from core.errors import ConfigError
from core.files import read_manifest, verify_manifest
from domains.medical.data import samples
from domains.medical.data.ct_rate import CTRate
from domains.medical.data.samples import ThoraxPhantom

SIZES = {"train": 2, "val": 1, "test": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "phantom"
    ThoraxPhantom(split="train", root=folder, studies=SIZES, seed=5)
    return folder


def test_three_splits_of_paired_scans_without_a_shared_patient(root):
    splits = [ThoraxPhantom(split=split, root=root) for split in SIZES]
    assert [len(data) for data in splits] == [2, 1, 1]
    assert verify(splits) == []
    for data in splits:
        assert isinstance(data, CTRate)
        assert data.simulated
        assert len(data.label_names) >= 12
        for record in data:
            assert set(record.sources) == {"ct", "xray", "report", "located_report"}
            assert set(record.masks) == {"organs", "lesions"}
            assert set(record.labels.values()) <= {0.0, 1.0}
            assert record.sources["report"].startswith("Findings: ")


def test_volumes_are_in_hounsfield_units_and_masks_on_their_grid(root):
    record = ThoraxPhantom(split="test", root=root).record(0)
    scan = nib.load(record.sources["ct"])
    values = np.asarray(scan.dataobj)
    assert values.min() < -900
    assert 300 < values.max() < 3100
    for mask in record.masks.values():
        assert nib.load(mask).shape == scan.shape
        np.testing.assert_allclose(nib.load(mask).affine, scan.affine)


def test_the_manifest_says_simulated_and_holds_every_file(root):
    manifest = read_manifest(root)
    assert manifest["about"]["simulated"] is True
    assert "simulated" in ThoraxPhantom.name
    assert verify_manifest(root, full=True) == []


def test_it_is_built_once_into_the_cache_and_again_for_another_seed(tmp_path, monkeypatch):
    built = []

    def write_dataset(empty, *, studies, seed, workers, progress):
        built.append((studies, seed, workers))
        progress(1, 1)
        (empty / "splits.csv").write_text("")

    monkeypatch.setenv("HEPTAD_CACHE", str(tmp_path))
    monkeypatch.setattr("domains.medical.phantom.write_dataset", write_dataset)
    first = [samples.build({"train": 2}, seed=0) for _ in range(2)]
    other = samples.build({"train": 2}, seed=1, workers=3)
    assert first[0] == first[1] != other
    assert first[0].is_relative_to(tmp_path)
    assert built == [({"train": 2}, 0, 0), ({"train": 2}, 1, 3)]


def test_settings_are_checked_before_anything_is_built():
    with pytest.raises(ConfigError, match="studies: no split 'trian'; did you mean 'train'"):
        ThoraxPhantom(split="train", studies={"trian": 3})
    with pytest.raises(ConfigError, match="studies: 'val' is 0; give at least 1"):
        ThoraxPhantom(split="train", studies={"train": 1, "val": 0})
