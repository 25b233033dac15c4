"""A folder with a CSV: what every user without a public dataset starts from."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from core.data.layout import verify
from core.errors import DataError
from domains.medical.data.folder_csv import FolderCSV, deal

SPLITS = ("train", "val", "test")


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path)


def write(root, *lines, name="data.csv"):
    (root / name).write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    for i in range(30):
        picture(tmp_path / "images" / f"{i}.png")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 3), np.int16), np.eye(4)), tmp_path / "images" / "scan.nii.gz")
    (tmp_path / "images" / "series").mkdir()
    (tmp_path / "images" / "series" / "1.dcm").write_bytes(b"")
    return tmp_path


def test_columns_are_found_by_name_and_numbers_are_labels(folder):
    write(
        folder, "Image,Caption,Split,nodule,effusion,age,note",
        "images/0.png,A film.,train,1,,63,good", "images/1.png,,train,0,0.5,71,",
    )  # fmt: skip
    data = FolderCSV(root=folder, split="train")
    assert data.label_names == ("nodule", "effusion")
    first, second = data
    assert first.id == first.group == "images/0.png"
    assert first.sources == {"xray": folder / "images/0.png", "report": "A film."}
    assert set(second.sources) == {"xray"}
    assert first.labels["nodule"] == 1
    assert np.isnan(first.labels["effusion"])
    assert second.labels == {"nodule": 0, "effusion": 0.5}


def test_volumes_series_and_pictures_are_told_apart_and_a_study_joins_them(folder):
    write(
        folder, "file,study,patient,text,split",
        "images/scan.nii.gz,s1,p1,A scan.,train", "images/0.png,s1,p1,A scan.,train",
        "images/series,s2,p2,Slices.,train",
    )  # fmt: skip
    one, two = FolderCSV(root=folder, split="train")
    assert one.id == "s1"
    assert one.group == "p1"
    assert {k: getattr(v, "name", v) for k, v in one.sources.items()} == {
        "ct": "scan.nii.gz", "xray": "0.png", "report": "A scan.",
    }  # fmt: skip
    assert two.sources["ct"] == folder / "images/series"


def test_a_stated_modality_wins(folder):
    write(folder, "file,modality,split", "images/0.png,CT,train", "images/1.png,x-ray,train", "images/2.png,,train")
    assert [next(iter(r.sources)) for r in FolderCSV(root=folder, split="train")] == ["ct", "xray", "xray"]


@pytest.mark.parametrize("patients", [3, 10, 30])
def test_without_a_split_column_patients_are_dealt_and_never_shared(folder, patients):
    write(folder, "file,patient_id", *(f"images/{i}.png,p{i % patients}" for i in range(30)))
    splits = [FolderCSV(root=folder, split=split) for split in SPLITS]
    assert sum(len(data) for data in splits) == 30
    assert verify(splits) == []
    again = [FolderCSV(root=folder, split=split) for split in SPLITS]
    assert [[r.id for r in data] for data in splits] == [[r.id for r in data] for data in again]


def test_from_fifty_patients_on_a_patient_stays_when_others_come():
    some, more = deal([f"p{i}" for i in range(60)]), deal([f"p{i}" for i in range(500)])
    assert all(more[group] == split for group, split in some.items())
    assert list(more.values()).count("train") == pytest.approx(400, abs=25)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["img,text", "a,b"], r"no column for the image file: one of file, path.*columns found: img, text"),
        (["file,split", "images/0.png,trian"], r"row 2: split 'trian' is not known; did you mean 'train'"),
        (["file,modality", "images/0.png,ctt"], r"row 2: modality 'ctt' is not known; did you mean 'ct'"),
        (["file", "/etc/passwd"], r"row 2: column 'file' is '/etc/passwd'; give a path relative"),
        (["file", "../x.png"], r"column 'file' is '../x.png'"),
        (["file", "images/0.png", "images/0.png"], r"'images/0.png' is listed twice"),
        (["file,study,patient", "images/0.png,s,p", "images/1.png,s,q"], r"study 's' belongs to 2 patients"),
        (["file,split", "images/0.png,test"], r"'train' split of the folder dataset is empty here"),
        (["file,split", "gone.png,train"], r"none of the files it names exists, for instance .*gone.png"),
    ],
)
def test_errors_name_row_column_and_remedy(folder, lines, text):
    write(folder, *lines)
    with pytest.raises(DataError, match=text):
        FolderCSV(root=folder, split="train")


def test_the_table_is_the_only_one_or_is_named(folder):
    with pytest.raises(DataError, match=r"data\.csv: no such file"):
        FolderCSV(root=folder, split="train")
    write(folder, "file,split", "images/0.png,train", name="mine.csv")
    assert len(FolderCSV(root=folder, split="train")) == 1
    write(folder, "file,split", "images/0.png,train", "images/1.png,train", name="other.csv")
    with pytest.raises(DataError, match=r"several tables \(mine\.csv, other\.csv\)"):
        FolderCSV(root=folder, split="train")
    assert len(FolderCSV(root=folder, split="train", table="other.csv")) == 2


def test_a_record_never_raises_for_its_file(folder):
    """An absent file, or one of no known kind, is the reader's to name, under the policy for bad records."""
    (folder / "a.mha").write_bytes(b"x")
    write(folder, "file,split", "a.mha,train", "gone.dcm,train", "images/0.png,train")
    assert [set(r.sources) for r in FolderCSV(root=folder, split="train")] == [{"xray"}] * 3
