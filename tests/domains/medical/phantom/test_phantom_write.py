"""What is written is CT-RATE's layout, complete, and independent of the number of processes."""

import csv
import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from core.errors import ConfigError
from domains.medical.phantom import LABELS, simulate, write_dataset
from domains.medical.phantom.write import write_study

SMALL = {"shape": (48, 48, 24), "spacing": (7.4, 7.4, 12.5)}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom")
    calls = []
    counts = {"train": 3, "val": 1, "test": 2}
    write_dataset(
        root, studies=counts, seed=9, workers=0, progress=lambda done, total: calls.append((done, total)), **SMALL
    )
    return root, calls


def test_the_folders_and_tables_are_those_of_ct_rate(dataset):
    root, calls = dataset
    assert calls == [(i, 6) for i in range(1, 7)]
    for stem, folder in (("train_3_a_1", "train"), ("valid_3_a_1", "valid")):
        patient, scan = "_".join(stem.split("_")[:2]), "_".join(stem.split("_")[:3])
        assert (root / "dataset" / folder / patient / scan / f"{stem}.nii.gz").exists()
    for folder, long, count in (("train", "train", 3), ("valid", "validation", 3)):
        reports = rows(root / "radiology_text_reports" / f"{long}_reports.csv")
        labels = rows(root / "multi_abnormality_labels" / f"{folder}_predicted_labels.csv")
        metadata = rows(root / "metadata" / f"{long}_metadata.csv")
        names = [r["VolumeName"] for r in reports]
        assert names == [r["VolumeName"] for r in labels] == [r["VolumeName"] for r in metadata]
        assert len(names) == count
        assert all(r["Findings_EN"] and r["Impressions_EN"] and r["Technique_EN"] for r in reports)
        assert set(LABELS) < set(labels[0])
        assert metadata[0]["XYSpacing"] == "[7.4, 7.4]"
        assert (metadata[0]["RescaleSlope"], metadata[0]["RescaleIntercept"]) == ("1", "0")
    assert "SIMULATED" in (root / "README.txt").read_text()
    assert not list(root.rglob("*.part"))


def test_splits_keep_patients_apart(dataset):
    splits = rows(dataset[0] / "splits.csv")
    assert [r["split"] for r in splits] == ["train"] * 3 + ["val"] + ["test"] * 2
    assert len({r["patient"] for r in splits}) == 6


def test_a_volume_reads_back_as_simulated(tmp_path):
    study = simulate(3, findings=("Lung mass",), **SMALL)
    row = write_study(study, tmp_path, stem="valid_7_a_1", split="test")
    image = nib.load(tmp_path / "dataset/valid/valid_7/valid_7_a/valid_7_a_1.nii.gz")
    assert np.array_equal(np.asarray(image.dataobj), study.ct)
    assert image.get_data_dtype() == np.int16
    assert np.allclose(image.affine, study.affine)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    for name, expected in (("organs", study.organs), ("lesions", study.lesions)):
        mask = nib.load(tmp_path / "masks" / name / "valid_7_a_1.nii.gz")
        assert np.array_equal(np.asarray(mask.dataobj), expected)
        assert np.allclose(mask.affine, image.affine)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "radiographs" / "valid_7_a_1.png")), study.radiograph)
    facts = json.loads((tmp_path / "facts" / "valid_7_a_1.json").read_text())
    assert facts["findings"][0]["label"] == "Lung mass"
    assert row["labels"]["Lung mass"] == 1


def test_files_do_not_depend_on_the_number_of_processes(dataset, tmp_path):
    write_dataset(tmp_path, studies={"train": 3, "val": 1, "test": 2}, seed=9, workers=2, **SMALL)
    first = {p.relative_to(dataset[0]): p.read_bytes() for p in dataset[0].rglob("*") if p.is_file()}
    second = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert first == second


def test_a_larger_dataset_begins_with_the_smaller_one(dataset, tmp_path):
    write_dataset(tmp_path, studies={"train": 1, "test": 1}, seed=9, workers=0, masks=False, **SMALL)
    name = "dataset/train/train_1/train_1_a/train_1_a_1.nii.gz"
    assert gzip.decompress((tmp_path / name).read_bytes()) == gzip.decompress((dataset[0] / name).read_bytes())
    assert not (tmp_path / "masks").exists()


def test_a_default_study_is_small_on_disk(tmp_path):
    write_study(simulate(2), tmp_path, stem="train_1_a_1", split="train")
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 1.25e6


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="give counts for train, val, test"):
        write_dataset(tmp_path, studies={"training": 3})
