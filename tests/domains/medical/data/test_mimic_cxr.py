"""MIMIC-CXR-JPG on a tiny copy in its true layout."""

import gzip

import numpy as np
import pytest
from PIL import Image

from core.data.layout import verify
from core.errors import DataError
from domains.medical.data.mimic_cxr import LABELS, MimicCXR

# dicom, study, subject, split, view
IMAGES = [
    ("aaaa0001-0", "50000001", "10000032", "train", "AP"),
    ("aaaa0002-0", "50000001", "10000032", "train", "PA"),
    ("aaaa0003-0", "50000001", "10000032", "train", "LATERAL"),
    ("aaaa0004-0", "50000002", "10000032", "train", "LATERAL"),
    ("aaaa0005-0", "50000003", "10000764", "train", "AP"),
    ("aaaa0006-0", "50000004", "11000011", "validate", "PA"),
    ("aaaa0007-0", "50000005", "11000022", "test", "PA"),
]
REPORT = " FINAL REPORT\n FINDINGS:\n\n Clear lungs.\n\n IMPRESSION:\n\n No acute\n process.\n"


def table(root, kind, *lines, zipped=True):
    text = "\n".join(lines) + "\n"
    path = root / f"mimic-cxr-2.0.0-{kind}.csv{'.gz' if zipped else ''}"
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


@pytest.fixture
def root(tmp_path):
    table(tmp_path, "split", "dicom_id,study_id,subject_id,split", *(",".join(row[:4]) for row in IMAGES))
    table(
        tmp_path, "metadata", "dicom_id,subject_id,study_id,ViewPosition,Rows",
        *(f"{d},{p},{s},{view},8" for d, s, p, _, view in IMAGES), zipped=False,
    )  # fmt: skip
    blank = "," * (len(LABELS) - 3)
    table(
        tmp_path, "chexpert", f"subject_id,study_id,{','.join(LABELS)}",
        f"10000032,50000001,1.0,-1.0,0.0{blank}", f"11000022,50000005,,,{blank}",
    )  # fmt: skip
    for dicom, study, subject, _, _ in IMAGES:
        folder = tmp_path / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(folder / f"{dicom}.jpg")
        if study != "50000003":
            folder.with_suffix(".txt").write_text(REPORT)
    return tmp_path


def test_one_frontal_image_per_study_the_posteroanterior_one_first(root):
    data = MimicCXR(root=root, split="train")
    assert [r.id for r in data] == ["s50000001", "s50000003"]
    first, second = data
    assert first.sources["xray"].relative_to(root).as_posix() == "files/p10/p10000032/s50000001/aaaa0002-0.jpg"
    assert first.group == second.group.replace("764", "032") == "p10000032"
    assert first.sources["report"] == "Findings: Clear lungs. Impression: No acute process."
    assert "report" not in second.sources  # the file is not there
    assert verify([MimicCXR(root=root, split=split) for split in ("train", "val", "test")]) == []


def test_every_image_and_every_view_when_asked(root):
    data = MimicCXR(root=root, split="train", per_study=False, views=[])
    assert [r.id for r in data] == [row[0] for row in IMAGES[:5]]
    lateral = MimicCXR(root=root, split="train", views=["LATERAL"])
    assert [r.id for r in lateral] == ["s50000001", "s50000002"]


@pytest.mark.parametrize(("policy", "expected"), [("ignore", np.nan), ("zeros", 0.0), ("ones", 1.0)])
def test_an_uncertain_label_follows_the_policy_and_blank_is_negative(root, policy, expected):
    data = MimicCXR(root=root, split="train", uncertain=policy)
    assert data.label_names == LABELS
    labels, unlisted = data.record(0).labels, data.record(1).labels
    assert (labels["Atelectasis"], labels["Consolidation"], labels["Pneumonia"]) == (1.0, 0.0, 0.0)
    np.testing.assert_equal(labels["Cardiomegaly"], expected)
    assert all(np.isnan(value) for value in unlisted.values())


def test_the_main_section_alone(root):
    assert MimicCXR(root=root, split="test", section="main").record(0).sources["report"] == "No acute process."


def test_reports_may_lie_elsewhere_and_a_copy_without_labels_has_none(root, tmp_path):
    (root / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    data = MimicCXR(root=root, split="test", reports=tmp_path / "other")
    assert data.label_names == ()
    assert set(data.record(0).sources) == {"xray"}


def test_subjects_that_were_not_downloaded_are_left_out_and_counted(root):
    (root / "files" / "p10" / "p10000764").rename(root / "files" / "p10" / "p19999999")
    data = MimicCXR(root=root, split="train")
    assert [r.id for r in data] == ["s50000001"]
    assert data.absent == 1


def test_errors_name_the_parts_the_column_and_the_setting(root, tmp_path_factory):
    with pytest.raises(DataError, match=r"(?s)3 of 3 parts.*split.csv.gz.*metadata.csv.gz.*files.*physionet"):
        MimicCXR(root=tmp_path_factory.mktemp("empty"), split="train")
    with pytest.raises(DataError, match="uncertain is 'maybe'; valid: ignore, zeros, ones"):
        MimicCXR(root=root, split="train", uncertain="maybe")
    with pytest.raises(DataError, match=r"'val' dataset is empty here; expected .* with view LATERAL"):
        MimicCXR(root=root, split="val", views=["LATERAL"])
    table(root, "metadata", "dicom_id,View_Position", "a,PA", zipped=False)
    with pytest.raises(DataError, match="missing column 'ViewPosition'; did you mean 'View_Position'"):
        MimicCXR(root=root, split="train")
