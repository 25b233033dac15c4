"""CT-RATE on tiny copies in its true layout."""

import logging

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from core.data.layout import verify
from core.errors import DataError
from domains.medical.data.ct_rate import CTRate
from domains.medical.data.source import ScanSource

LABELS = "Medical material,Cardiomegaly,Lung nodule"


def volume(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 3), np.int16), np.diag([0.7, 0.7, 1.5, 1])), path)


def table(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def impression(stem):
    return "Not given." if "_2_a" in stem else "Normal."


def write(base, *, fixed=True, patients=12, splits=None):
    """`base/{train,valid}[_fixed]`, tables and 12 + 2 patients; patient 1 has two scans of two reconstructions."""
    for folder, count in (("train", patients), ("valid", 2)):
        stems = [f"{folder}_{i}_a_1" for i in range(1, count + 1)]
        stems += [f"{folder}_1_a_2", f"{folder}_1_b_1", f"{folder}_1_b_2"]
        for stem in stems:
            scan, patient = stem.rpartition("_")[0], stem.rsplit("_", 2)[0]
            volume(base / f"{folder}{'_fixed' if fixed else ''}" / patient / scan / f"{stem}.nii.gz")
        long = "validation" if folder == "valid" else folder
        table(
            base / "radiology_text_reports" / f"{long}_reports.csv",
            "VolumeName,ClinicalInformation_EN,Technique_EN,Findings_EN,Impressions_EN",
            *(
                f'{s}.nii.gz,Not given.,CT,"Heart  is big, {s}.",{"Not given." if "_2_a" in s else "Normal."}'
                for s in stems
            ),
        )
        table(
            base / "multi_abnormality_labels" / f"{folder}_predicted_labels.csv",
            f"VolumeName,{LABELS}",
            *(f"{s}.nii.gz,0,1,{'' if '_2_a' in s else 0}" for s in stems),
        )
        table(
            base / "metadata" / f"{long}_metadata.csv",
            "VolumeName,Manufacturer,RescaleSlope,RescaleIntercept,XYSpacing,ZSpacing",
            *(f'{s}.nii.gz,X,1,-8192,"[0.7, 0.7]",1.5' for s in stems),
        )
    if splits:
        table(base / "splits.csv", "patient,split", *splits)
    return base


def all_splits(root, **how):
    return [CTRate(root=root, split=split, **how) for split in ("train", "val", "test")]


@pytest.mark.parametrize("inside", [True, False])
def test_records_carry_path_report_labels_and_patient(tmp_path, inside):
    write(tmp_path / "dataset" if inside else tmp_path)
    data = CTRate(root=tmp_path, split="test")
    assert data.label_names == ("Medical material", "Cardiomegaly", "Lung nodule")
    assert [r.id for r in data] == ["valid_1_a_1", "valid_1_b_1", "valid_2_a_1"]
    first, _, last = data
    assert first.group == "valid_1"
    assert first.sources["ct"].name == "valid_1_a_1.nii.gz"
    assert first.sources["report"] == "Findings: Heart is big, valid_1_a_1. Impression: Normal."
    assert last.sources["report"] == "Findings: Heart is big, valid_2_a_1."
    assert first.labels == {"Medical material": 0, "Cardiomegaly": 1, "Lung nodule": 0}
    assert np.isnan(last.labels["Lung nodule"])
    assert "xray" not in first.sources
    assert first.masks == {}


def test_without_splits_the_held_out_patients_come_from_train_and_test_is_the_published_set(tmp_path):
    write(tmp_path, patients=40)
    train, val, test = all_splits(tmp_path, holdout=0.2)
    assert {r.group for r in train} | {r.group for r in val} == {f"train_{i}" for i in range(1, 41)}
    assert 2 <= len(val) <= 16
    assert verify([train, val, test]) == []
    published = CTRate(root=tmp_path, split="valid")
    assert [r.id for r in published] == [r.id for r in test]


def test_a_splits_file_decides_by_patient_or_by_volume(tmp_path):
    write(tmp_path, splits=["train_1,train", "train_2,val", "train_3,test", "valid_1,test"])
    train, val, test = all_splits(tmp_path)
    assert [[r.group for r in data] for data in (train, val, test)] == [
        ["train_1", "train_1"],
        ["train_2"],
        ["train_3", "valid_1", "valid_1"],
    ]
    table(tmp_path / "splits.csv", "VolumeName,split", "train_5_a_1.nii.gz,train")
    assert [r.id for r in CTRate(root=tmp_path, split="train")] == ["train_5_a_1"]


def test_all_reconstructions_when_asked(tmp_path):
    write(tmp_path)
    data = CTRate(root=tmp_path, split="test", reconstruction="all")
    assert [r.id for r in data][:2] == ["valid_1_a_1", "valid_1_a_2"]
    assert len(data) == 5


def test_version_two_is_a_bare_path_and_version_one_carries_its_scaling(tmp_path):
    write(tmp_path)
    write(tmp_path, fixed=False)
    assert CTRate(root=tmp_path, split="test").version == "v2"
    one = CTRate(root=tmp_path, split="test", version="v1").record(0).sources["ct"]
    assert one == ScanSource(tmp_path / "valid/valid_1/valid_1_a/valid_1_a_1.nii.gz", 1.0, -8192.0, (0.7, 0.7, 1.5))
    assert list(CTRate(root=tmp_path, split="test", version="v1").record(0).files()) == [one.path]


def test_version_one_alone_is_found_and_needs_its_metadata(tmp_path):
    write(tmp_path, fixed=False)
    assert CTRate(root=tmp_path, split="test").version == "v1"
    meta = tmp_path / "metadata" / "validation_metadata.csv"
    meta.write_text(meta.read_text().replace('"[0.7, 0.7]"', "seven", 1))
    with pytest.raises(DataError, match=r"validation_metadata.csv: row 2: .*XYSpacing 'seven'"):
        CTRate(root=tmp_path, split="test")
    meta.unlink()
    with pytest.raises(DataError, match=r"validation_metadata.csv  \(slope, intercept and spacing of 'valid'\)"):
        CTRate(root=tmp_path, split="test")


def test_radiographs_and_masks_beside_it_are_picked_up(tmp_path):
    write(tmp_path)
    for path in ("masks/organs/valid_1_a_1.nii.gz", "masks/lesions/valid_1_a_1.nii.gz"):
        volume(tmp_path / path)
    (tmp_path / "radiographs").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "radiographs" / "valid_1_a_1.png")
    record = CTRate(root=tmp_path, split="test").record(0)
    assert set(record.sources) == {"ct", "xray", "report", "located_report"}
    assert set(record.masks) == {"organs", "lesions"}
    assert len(list(record.files())) == 4


def test_volumes_of_other_body_parts_are_left_out(tmp_path):
    write(tmp_path)
    (tmp_path / "metadata" / "no_chest_valid.txt").write_text("valid_2_a_1.nii.gz\n")
    assert [r.group for r in CTRate(root=tmp_path, split="test")] == ["valid_1", "valid_1"]


def test_a_copy_without_labels_has_none_and_says_so(tmp_path, caplog):
    write(tmp_path)
    (tmp_path / "multi_abnormality_labels" / "valid_predicted_labels.csv").unlink()
    with caplog.at_level(logging.INFO):
        data = CTRate(root=tmp_path, split="test")
    assert data.label_names == ()
    assert data.record(0).labels == {}
    assert "have no labels" in caplog.text


def test_all_that_is_missing_is_named_at_once(tmp_path):
    (tmp_path / "train_fixed").mkdir()
    with pytest.raises(DataError, match=r"(?s)2 of 2 parts.*valid_fixed.*validation_reports.csv.*huggingface"):
        CTRate(root=tmp_path, split="test")


def test_a_missing_column_and_an_empty_dataset_are_clear(tmp_path):
    write(tmp_path)
    reports = tmp_path / "radiology_text_reports" / "validation_reports.csv"
    reports.write_text(reports.read_text().replace("Findings_EN", "Finding_EN"))
    with pytest.raises(DataError, match=r"missing column 'Findings_EN'; did you mean 'Finding_EN'\?"):
        CTRate(root=tmp_path, split="test")
    write(tmp_path / "empty", patients=1)
    for path in (tmp_path / "empty" / "valid_fixed").rglob("*.nii.gz"):
        path.unlink()
    with pytest.raises(DataError, match=r"valid_fixed: the CT-RATE 'test' dataset is empty here; expected pat"):
        CTRate(root=tmp_path / "empty", split="test")
